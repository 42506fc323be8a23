/* KNN.  Sun et al., ICML 2022, arXiv:2204.06507.
 *   S = -d_(k), the squared Euclidean distance of f(h) to the k-th nearest f(x) of the train rows x
 *   f(h) = h / |h|_2 + 1e-10, in f64, rounded to f32, as the published code has it (the constant is added to
 *   every value after the division and is lost in f32 unless that value is tiny); normalise=none: f(h) = h
 * Exact, with distances summed in f64 from the f32 rows, and so never below zero.  No labels.  Several k are
 * one search: k=50+100+1000 gives a row of the table for each. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/nearest.h"
#include "score/stats/shared.h"

#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    int normalised;
    size_t rank;
} state_type;

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    long long k = param_int(p, "k");
    if ((unsigned long long)k > f->o->train->n)
        return fit_refuse(f, "k is %lld, the train set has %zu rows", k, f->o->train->n);
    TRY(mem_new(&s, 1, sizeof *s, "KNN"));
    *state = s;
    s->normalised = strcmp(param_text(p, "normalise"), "l2") == 0;
    s->rank = (size_t)k - 1;
    TRY(fit_nearest(f, s->normalised, s->rank));
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    const double *distance;
    size_t step;
    (void)p;
    TRY(block_nearest(b, s->normalised, s->rank, &distance, &step));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)-distance[i * step];
done:
    return rc;
}

static void release(void **state)
{
    free(*state);
    *state = NULL;
}

const method method_knn = {
    .name = "knn",
    .title = "KNN",
    .formula = "-|f(h) - f(x)|^2, x the k-th nearest train row, f(h) = h / |h|",
    .paper = "Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, "
             "arXiv:2204.06507",
    .quirks = "squared distances, 1e-10 added after the division; a row of zeros, NaN there, has no direction "
              "here; the paper's ImageNet run has k = 1000 of all 1.28 million train images, OpenOOD k = 50",
    .groups = "openood seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN,
    .opts = (const method_opt[]){{"k", "50", "which neighbour; several: 50+100+1000", 1, 1e9, NULL, METHOD_WHOLE | METHOD_LIST},
                                 {"normalise", "l2", "l2: rows of length 1; none: as they are", 0, 0, "l2|none", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
