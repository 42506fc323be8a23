/* DICE + ReAct: clipped features through the masked head.  Sun and Li, ECCV 2022, arXiv:2111.09805.
 *   S = logsumexp((W o M) min(h, c) + b), M as in dice.c */
#include "score/methods/dice.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = dice_fit(f, p, state);
    if (rc == 0) ((dice_state *)*state)->clip = (float)param_double(p, "clip");
    return rc;
}

static void shape(const void *arg, const score_block *b, size_t i, float *h)
{
    float clip = ((const dice_state *)arg)->clip;
    const float *from = b->h + i * b->d;
    for (size_t j = 0; j < b->d; j++)
        h[j] = from[j] > clip ? clip : from[j];
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const dice_state *s = state;
    (void)p;
    return shaped_energy(b, &(shaping){.shape = shape, .arg = s, .w = s->kept}, out);
}

const method method_dice_react = {
    .name = "dice-react",
    .title = "DICE+ReAct",
    .formula = "logsumexp((W o M) min(h, c) + b), M as in dice",
    .paper = "Sun and Li, DICE: Leveraging Sparsification for Out-of-Distribution Detection, ECCV 2022, "
             "arXiv:2111.09805",
    .quirks = "the mask comes from features that are not clipped; percentile 10 with clip 1.0 and 15 with "
              "1.5 are comments in the authors' code",
    .groups = "seeds",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_MEAN,
    .opts = (const method_opt[]){{"percentile", "10", "percentage of weights that are masked", 0, 100,
                                  NULL, 0},
                                 {"clip", "1.0", "clip of the features", -1e30, 1e30, NULL, 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = dice_free,
};
