#include "score/methods/ash.h"
#include "common/mem.h"
#include "score/stats/topk.h"

#include <math.h>
#include <stdlib.h>

int ash_fit(fit_context *f, const method_params *p, void **state)
{
    ash_state *s = NULL;
    size_t k = topk_of_percent(f->d, param_double(p, "percentile"));
    int rc;
    if (k == 0)
        return fit_refuse(f, "percentile %s keeps none of %zu features", param_text(p, "percentile"),
                          f->d);
    rc = mem_new(&s, 1, sizeof *s, "ASH");
    if (rc < 0) return rc;
    s->k = k;
    s->clip = INFINITY;
    *state = s;
    return 0;
}

void ash_free(void **state)
{
    free(*state);
    *state = NULL;
}

void ash_prune(float *h, size_t d, size_t k)
{
    size_t larger, ties;
    float least = topk_least(h, d, k, &larger);
    ties = k - larger;
    for (size_t j = 0; j < d; j++) {
        if (h[j] > least) continue;
        if (h[j] == least && ties > 0) ties--;
        else h[j] = 0;
    }
}

double ash_factor(double s1, double s2)
{
    double r = s1 / s2;
    if (s2 == 0) return 1;
    return exp(r < ASH_EXPONENT_MAX ? r : ASH_EXPONENT_MAX);
}
