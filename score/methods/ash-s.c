/* ASH-S: features pruned, the rest scaled.  Djurisic et al., ICLR 2023, arXiv:2209.09858.
 *   S = logsumexp(W h' + b), h' = exp(s1 / s2) times the k largest features, zeros elsewhere
 * With `clip` first min(h, clip): react_and_ash of the authors. */
#include "score/methods/ash.h"

#include <stdlib.h>
#include <string.h>

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = ash_fit(f, p, state);
    if (rc == 0 && strcmp(param_text(p, "clip"), "none") != 0)
        ((ash_state *)*state)->clip = (float)param_double(p, "clip");
    return rc;
}

static void shape(const void *arg, const score_block *b, size_t i, float *h)
{
    const ash_state *s = arg;
    const float *from = b->h + i * b->d;
    double all = 0, kept = 0;
    float factor;
    for (size_t j = 0; j < b->d; j++) {
        h[j] = from[j] > s->clip ? s->clip : from[j];
        all += (double)h[j];
    }
    ash_prune(h, b->d, s->k);
    for (size_t j = 0; j < b->d; j++)
        kept += (double)h[j];
    factor = (float)ash_factor(all, kept);
    for (size_t j = 0; j < b->d; j++)
        h[j] *= factor;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const ash_state *s = state;
    (void)p;
    return shaped_energy(b, &(shaping){.shape = shape, .arg = s, .most = s->k}, out);
}

const method method_ash_s = {
    .name = "ash-s",
    .title = "ASH-S",
    .formula = "logsumexp(W h' + b), h' = exp(s1 / s2) times the k largest of h; s1, s2 = sum h, sum of "
               "the kept",
    .paper = "Djurisic et al., Extremely Simple Activation Shaping for Out-of-Distribution Detection, "
             "ICLR 2023, arXiv:2209.09858",
    .quirks = "the authors use percentile 90 (ViT: 95); with a clip it is their react_and_ash; the "
              "exponent is held at 60",
    .groups = "seeds",
    .needs = NEEDS_FEATURES | NEEDS_HEAD,
    .opts = (const method_opt[]){ASH_OPT("90"),
                                 {"clip", "none", "clip of the features before (ReAct)", -1e30, 1e30,
                                  "none", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = ash_free,
};
