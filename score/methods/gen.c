/* GEN, generalised entropy.  Liu, Lochman and Zach, CVPR 2023.
 *   S = -sum over the m largest p_i of p_i^gamma (1 - p_i)^gamma; gamma 0.1, m 100.
 * Probabilities are f32, denormals kept. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/gentropy.h"
#include "score/stats/shared.h"

#include <stdlib.h>
#include <string.h>

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const float *g;
    (void)state;
    TRY(block_gen(b, p, &g));
    memcpy(out, g, b->n * sizeof *out);
done:
    return rc;
}

static int score_many(const scored_use *v, size_t n, const score_block *b)
{
    int rc = 0;
    gentropy_use *g = NULL;
    TRY(mem_new(&g, n, sizeof *g, "settings of GEN"));
    for (size_t i = 0; i < n; i++)
        g[i] = gentropy_use_of(v[i].p, v[i].out);
    if (n == 1) TRY(score(NULL, v->p, b, v->out));
    else TRY(gentropy_many(b->p, b->n, b->c, g, n));
done:
    free(g);
    return rc;
}

const method method_gen = {
    .name = "gen",
    .title = "GEN",
    .formula = "-sum_(i in top m) p_i^gamma (1 - p_i)^gamma",
    .paper = "Liu, Lochman and Zach, GEN: Pushing the Limits of Softmax-Based Out-of-Distribution "
             "Detection, CVPR 2023",
    .quirks = "the kept probabilities are not normalised again; OpenOOD tunes gamma and m",
    .groups = "gen openood seeds",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){GEN_OPTS, {0}},
    .score = score,
    .score_many = score_many,
};
