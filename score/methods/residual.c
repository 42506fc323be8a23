/* Residual, the baseline of ViM.  Wang et al., CVPR 2022, arXiv:2203.10807.
 *   S = -|| R' (h - u) ||, u = -pinv(W) b, R the D - dim directions of least second moment of the
 *   train features about u. */
#include "score/methods/subspace.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const subspace_state *s = state;
    const float *norm;
    int rc = block_residual(b, s->r, &norm);
    (void)p;
    for (size_t i = 0; rc == 0 && i < b->n; i++)
        out[i] = -norm[i];
    return rc;
}

const method method_residual = {
    .name = "residual",
    .title = "Residual",
    .formula = "-|| R' (h - u) ||, u = -pinv(W) b, R = the D - dim least directions of train",
    .paper = "Wang et al., ViM: Out-Of-Distribution with Virtual-logit Matching, CVPR 2022, "
             "arXiv:2203.10807",
    .quirks =
        "second moment about u, not about the mean; f64 symmetric solver instead of f32 general",
    .groups = "gen vim seeds",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_SECOND,
    .opts = (const method_opt[]){DIM_OPT, {0}},
    .plan = subspace_plan,
    .fit = subspace_fit,
    .score = score,
    .free = subspace_free,
};
