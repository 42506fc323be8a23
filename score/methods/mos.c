/* MOS, minimum others score.  Huang and Li, CVPR 2021, arXiv:2105.01879.
 *   S = max_g -softmax(z[slice_g])_0
 * The head has one output more per group, "others", the first of the group's slice; an OOD image makes it
 * fire in every group.  Needs such a head: classes + groups outputs. */
#include "common/mem.h"
#include "score/stats/fit.h"
#include "score/stats/groups.h"
#include "score/stats/tempered.h"

#include <math.h>
#include <stdlib.h>

static int fit(fit_context *f, const method_params *p, void **state)
{
    class_groups *g = NULL;
    int rc = mem_new(&g, 1, sizeof *g, "groups");
    if (rc < 0) return rc;
    *state = g;
    rc = groups_read(g, param_text(p, "groups"));
    if (rc < 0) return rc;
    if (g->classes + g->n != f->c)
        return fit_refuse(f, "%zu groups of %zu classes need a head of %zu outputs, this one has %zu",
                          g->n, g->classes, g->classes + g->n, f->c);
    return 0;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const class_groups *g = state;
    (void)p;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *z = b->z + i * b->c;
        double least = INFINITY;
        for (size_t k = 0; k < g->n; k++) {
            double top, others = exp((double)z[0] - tempered_lse(z, g->size[k] + 1, 1, &top));
            least = others < least ? others : least;
            z += g->size[k] + 1;
        }
        out[i] = (float)-least;
    }
    return 0;
}

static void release(void **state)
{
    if (*state != NULL) groups_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_mos = {
    .name = "mos",
    .title = "MOS",
    .formula = "max_g -softmax(z of group g and its others)_others",
    .paper = "Huang and Li, MOS: Towards Scaling Out-of-distribution Detection for Large Semantic "
             "Space, CVPR 2021, arXiv:2105.01879",
    .quirks = "needs a head with an output 'others' first in every group's slice: 1008 for the "
              "published eight groups",
    .groups = "mos seeds openood",
    .needs = NEEDS_LOGITS,
    .opts =
        (const method_opt[]){
            {"groups", "mos", "mos (the published eight), sizes joined by +, or a file", 0, 0, NULL, 0},
            {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
