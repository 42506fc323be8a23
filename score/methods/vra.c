/* VRA, variational rectified activations.  Xu et al., NeurIPS 2023, arXiv:2302.11716.
 *   S = logsumexp(W h' + b); OpenOOD: h' = clip(h, low, high); the authors: values below low become 0.
 * low and high are percentiles of all ID validation features. */
#include "common/mem.h"
#include "score/stats/shaped.h"

#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    float low, high, below; /* what stands for values below low: low or 0 */
} state_type;

static int plan(fit_context *f, const method_params *p)
{
    int rc = fit_want_quantile(f, QUANTILE_OF_VAL, param_double(p, "high") / 100);
    return rc < 0 ? rc : fit_want_quantile(f, QUANTILE_OF_VAL, param_double(p, "low") / 100);
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    state_type *s = NULL;
    double low, high;
    int rc = mem_new(&s, 1, sizeof *s, "VRA");
    if (rc < 0) return rc;
    *state = s;
    rc = fit_quantile(f, f->o->val_id, param_double(p, "high") / 100, &high);
    if (rc == 0) rc = fit_quantile(f, f->o->val_id, param_double(p, "low") / 100, &low);
    if (rc < 0) return rc;
    if (low > high) return fit_refuse(f, "the low percentile is above the high one");
    s->low = (float)low;
    s->high = (float)high;
    s->below = strcmp(param_text(p, "below"), "low") == 0 ? s->low : 0;
    return 0;
}

static void shape(const void *arg, const score_block *b, size_t i, float *h)
{
    const state_type *s = arg;
    const float *from = b->h + i * b->d;
    for (size_t j = 0; j < b->d; j++)
        h[j] = from[j] < s->low ? s->below : from[j] > s->high ? s->high : from[j];
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)p;
    return shaped_energy(b, &(shaping){.shape = shape, .arg = state}, out);
}

static void release(void **state)
{
    free(*state);
    *state = NULL;
}

const method method_vra = {
    .name = "vra",
    .title = "VRA",
    .formula = "logsumexp(W clip(h, low, high) + b), percentiles of all ID validation features",
    .paper = "Xu et al., VRA: Variational Rectified Activation for Out-of-distribution Detection, "
             "NeurIPS 2023, arXiv:2302.11716",
    .quirks = "OpenOOD raises values below low to low; the authors set them to 0 (below=zero)",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_VAL,
    .opts = (const method_opt[]){{"high", "90", "upper percentile", 0, 100, NULL, 0},
                                 {"low", "10", "lower percentile", 0, 100, NULL, 0},
                                 {"below", "low", "what values below low become: low or zero", 0, 0,
                                  "low|zero", 0},
                                 {0}},
    .plan = plan,
    .fit = fit,
    .score = score,
    .free = release,
};
