/* GEN times residual.  Liu, Lochman and Zach, CVPR 2023.
 *   S = || R' (h - u) || G(p), G the (negative) score of gen.c on the unclipped softmax: a plain
 *   product, no alpha. */
#include "score/methods/subspace.h"
#include "common/err.h"
#include "score/stats/gentropy.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const subspace_state *s = state;
    const float *norm, *g;
    TRY(block_residual(b, s->r, &norm));
    TRY(block_gen(b, p, &g));
    for (size_t i = 0; i < b->n; i++)
        out[i] = norm[i] * g[i];
done:
    return rc;
}

const method method_gen_residual = {
    .name = "gen-residual",
    .title = "GEN + Residual",
    .formula = "|| R' (h - u) || GEN(p)",
    .paper = "Liu, Lochman and Zach, GEN, CVPR 2023",
    .groups = "gen seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_SECOND,
    .opts = (const method_opt[]){GEN_OPTS, DIM_OPT, {0}},
    .plan = subspace_plan,
    .fit = subspace_fit,
    .score = score,
    .free = subspace_free,
};
