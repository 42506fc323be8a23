/* MaxGroup, a baseline of ViM, table 4.  Wang et al., CVPR 2022, arXiv:2203.10807.
 *   S = max_g sum_(c in g) p_c, on the plain head. */
#include "common/mem.h"
#include "score/stats/fit.h"
#include "score/stats/groups.h"

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 256 }; /* groups summed in one sweep of a row */

static int fit(fit_context *f, const method_params *p, void **state)
{
    class_groups *g = NULL;
    const char *text = param_text(p, "groups");
    int rc;
    if (strcmp(text, "none") == 0)
        return fit_refuse(f, "needs the groups of the classes (--set max-group.groups=FILE)");
    rc = mem_new(&g, 1, sizeof *g, "groups");
    if (rc < 0) return rc;
    *state = g;
    rc = groups_read(g, text);
    if (rc < 0) return rc;
    if (g->classes != f->c)
        return fit_refuse(f, "%zu groups of %zu classes, but the head has %zu", g->n, g->classes,
                          f->c);
    return 0;
}

static double largest(const class_groups *g, const float *p)
{
    double most = 0, sum[AT_ONCE];
    for (size_t first = 0; first < g->n; first += AT_ONCE) {
        memset(sum, 0, sizeof sum);
        for (size_t k = 0; k < g->classes; k++) {
            size_t at = (size_t)g->of[k] - first;
            if (at < AT_ONCE) sum[at] += (double)p[k];
        }
        for (size_t k = 0; k < AT_ONCE; k++)
            most = sum[k] > most ? sum[k] : most;
    }
    return most;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)p;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)largest(state, b->p + i * b->c);
    return 0;
}

static void release(void **state)
{
    if (*state != NULL) groups_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_max_group = {
    .name = "max-group",
    .title = "MaxGroup",
    .formula = "max_g sum_(c in g) p_c",
    .paper = "Wang et al., ViM: Out-Of-Distribution with Virtual-logit Matching, CVPR 2022, "
             "arXiv:2203.10807, table 4",
    .quirks = "the group of each class must be given: classes of the MOS taxonomy do not lie together "
              "in the order of a plain head",
    .groups = "seeds",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"groups", "none",
                                  "a file with the group of each class; or sizes joined by +", 0, 0,
                                  NULL, 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
