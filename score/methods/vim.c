/* ViM, virtual-logit matching.  Wang et al., CVPR 2022, arXiv:2203.10807.
 *   S = logsumexp(z) - alpha || R' (h - u) ||; R, u as in residual.c;
 *   alpha = mean over train of max_c z_c / mean over train of || R' (x - u) ||. */
#include "score/methods/subspace.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = subspace_fit(f, p, state);
    subspace_state *s = *state;
    if (rc != 0) return rc;
    rc = fit_alpha(f, s->r, &s->alpha);
    if (rc == 0 && !(s->alpha - s->alpha == 0)) /* zero residual: infinite or NaN */
        return fit_refuse(f, "the train features have no residual outside %zu directions",
                          s->r->dim);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const subspace_state *s = state;
    const float *norm;
    int rc = block_residual(b, s->r, &norm);
    (void)p;
    for (size_t i = 0; rc == 0 && i < b->n; i++)
        out[i] = (float)((double)b->lse[i] - s->alpha * (double)norm[i]);
    return rc;
}

const method method_vim = {
    .name = "vim",
    .title = "ViM",
    .formula = "logsumexp(z) - alpha || R' (h - u) ||, alpha = mean max z / mean || R' (x - u) ||",
    .paper = "Wang et al., ViM: Out-Of-Distribution with Virtual-logit Matching, CVPR 2022, "
             "arXiv:2203.10807",
    .quirks =
        "second moment about u, not about the mean; f64 symmetric solver instead of f32 general",
    .groups = "gen vim seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_SECOND | STAT_LOGITS,
    .opts = (const method_opt[]){DIM_OPT, {0}},
    .plan = subspace_plan,
    .fit = fit,
    .score = score,
    .free = subspace_free,
};
