/* GMM: a Gaussian mixture of one covariance over the leading principal components, OpenOOD's postprocessor gmm on its
 * last layer.
 *   y = V'(h - mean), V the q leading directions of the train covariance; mixture of k components by EM on train
 *   S = log(sum_k w_k exp(-d_k / 2) + 1e-45), d_k = (y - m_k)' Sigma^-1 (y - m_k) */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/mixture.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { TILE = 256 };

typedef struct state_type {
    double *v;    /* [q,d] */
    double *mean; /* [d] */
    size_t q, d, rows;
    double *y; /* [rows,q] of train, during the fit */
    double *centred; /* [TILE,d] */
    mixture m;
    budget *mem;
} state_type;

/* y [n,q] = V'(h - mean) */
static void project(const state_type *s, const float *h, size_t n, double *centred, double *y)
{
    for (size_t at = 0; at < n; at += TILE) {
        size_t rows = n - at < TILE ? n - at : TILE;
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < s->d; j++)
                centred[i * s->d + j] = (double)h[(at + i) * s->d + j] - s->mean[j];
        linalg_dgemm_abt(rows, s->q, s->d, centred, s->d, s->v, s->d, 0, y + at * s->q, s->q);
    }
}

static int add_rows(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    state_type *s = arg;
    (void)d;
    project(s, h, n, s->centred, s->y + begin * s->q);
    return 0;
}

static int principal(fit_context *f, state_type *s, size_t most)
{
    int rc = 0;
    size_t d = s->d, q = most < d ? most : d, rank = 0;
    double *a = NULL, *values = NULL;
    TRY(budget_new(f->mem, &s->mean, d, sizeof *s->mean, "mean feature"));
    TRY(budget_new(f->mem, &a, d * d, sizeof *a, "covariance"));
    TRY(budget_new(f->mem, &values, d, sizeof *values, "eigenvalues"));
    fit_mean(f, s->mean);
    scatter_about(&f->moments, s->mean, a);
    TRY(f->la->ops->eigh(f->la, d, a, values, d - q, q));
    while (rank < q && values[d - 1 - rank] > (double)d * DBL_EPSILON * values[d - 1])
        rank++;
    if (rank == 0) rc = fit_refuse(f, "the train features do not vary");
    if (rc != 0) goto done;
    if (rank < q) log_info("gmm: %zu principal components of %zu: the others do not vary", rank, q);
    TRY(budget_new(f->mem, &s->v, rank * d, sizeof *s->v, "principal components"));
    for (size_t i = 0; i < rank * d; i++)
        s->v[i] = a[(q - rank) * d + i];
    s->q = rank;
done:
    budget_free(f->mem, &a);
    budget_free(f->mem, &values);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t k = (size_t)param_int(p, "clusters");
    TRY(mem_new(&s, 1, sizeof *s, "GMM"));
    *state = s;
    s->mem = f->mem;
    s->d = f->d;
    s->rows = f->o->train->n;
    if (s->rows < k) {
        rc = fit_refuse(f, "%zu components of %zu train rows", k, s->rows);
        goto done;
    }
    TRY(principal(f, s, (size_t)param_int(p, "dim")));
    if (rc == FIT_REFUSED) goto done;
    TRY(budget_new(f->mem, &s->y, s->rows * s->q, sizeof *s->y, "principal components of train"));
    TRY(budget_new(f->mem, &s->centred, TILE * s->d, sizeof *s->centred, "centred rows"));
    TRY(rows_each(f->o->train, f->mem, add_rows, s));
    TRY(mixture_fit(&s->m, s->y, s->rows, s->q, k, (uint64_t)param_int(p, "seed"), f->mem));
    log_debug("gmm: %zu steps%s", s->m.steps, s->m.converged ? "" : ", not converged");
done:
    if (s != NULL) {
        budget_free(f->mem, &s->y);
        budget_free(f->mem, &s->centred);
    }
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    double floor = param_double(p, "floor"), *y, *centred;
    float *room;
    TRY(block_work(b, 0, 2 * b->cache->rows * s->q, &room));
    y = (double *)(void *)room;
    TRY(block_work(b, 1, 2 * TILE * s->d, &room));
    centred = (double *)(void *)room;
    project(s, b->h, b->n, centred, y);
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double v = mixture_log(&s->m, y + i * s->q), least = floor > 0 ? log(floor) : -INFINITY;
        double top = fmax(v, least);
        out[i] = (float)(top + log(exp(v - top) + exp(least - top)));
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->mem != NULL) {
        budget_free(s->mem, &s->v);
        budget_free(s->mem, &s->mean);
        budget_free(s->mem, &s->y);
        budget_free(s->mem, &s->centred);
        mixture_clear(&s->m, s->mem);
    }
    free(s);
    *state = NULL;
}

const method method_gmm = {
    .name = "gmm",
    .title = "GMM",
    .formula = "log(sum_k w_k exp(-d_k / 2) + 1e-45), a mixture of one covariance over q principal components of train",
    .paper = "OpenOOD, postprocessor gmm, github.com/Jingkang50/OpenOOD",
    .quirks = "the last of OpenOOD's three layers, which is the one its weights (0, 0, 1) count; without the constants of "
              "the density; rows with all distances beyond 206 tie at log 1e-45 unless floor=0; k-means is started by "
              "the seed, not as scikit-learn's",
    .groups = "openood seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN,
    .stats = STAT_SECOND,
    .opts = (const method_opt[]){{"clusters", "50", "components", 1, 65536, NULL, METHOD_WHOLE},
                                 {"dim", "50", "principal components, q", 1, 4096, NULL, METHOD_WHOLE},
                                 {"floor", "1e-45", "added to the density", 0, 1, NULL, 0},
                                 {"seed", "1", "of k-means", 0, 9007199254740992.0, NULL, METHOD_WHOLE},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
