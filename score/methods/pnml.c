/* pNML, predictive normalised maximum likelihood of the last layer.  Bibas, Feder and Hassner, NeurIPS 2021,
 * arXiv:2110.09246, as pytorch-ood.   f = h / |h|, X the train rows so normalised, p = softmax(W f + b)
 *   q = f' (X'X)^+ f, kappa = q / (1 + q)
 *   S = -log_C sum_c p_c / (p_c + (1 - p_c) p_c^kappa), minus the regret */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/shared.h"
#include "score/stats/unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct state_type {
    float *a; /* [rank,d] eigenvectors of X'X / N over the roots of their eigenvalues */
    float *zero;
    size_t rank, rows;
    linalg_matrix *kept, *kept_zero;
    linalg *la;
    budget *mem;
} state_type;

static int invert(fit_context *f, state_type *s, double *a, double *values, double *origin)
{
    int rc = 0;
    size_t d = f->d, first = 0;
    scatter_about(&f->unit, origin, a);
    TRY(f->la->ops->eigh(f->la, d, a, values, 0, d));
    while (first < d && !(values[first] > (double)d * DBL_EPSILON * values[d - 1]))
        first++;
    if (first == d) return fit_refuse(f, "the train features are zero");
    if (first > 0)
        log_info("pnml: the second moment of the train features has rank %zu of %zu: pseudo-inverse", d - first, d);
    s->rank = d - first;
    TRY(budget_new(f->mem, &s->a, s->rank * d, sizeof *s->a, "inverse of the second moment"));
    for (size_t i = 0; i < s->rank; i++)
        for (size_t j = 0; j < d; j++)
            s->a[i * d + j] = (float)(a[(first + i) * d + j] / sqrt(values[first + i]));
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t d = f->d;
    double *a = NULL, *values = NULL, *origin = NULL;
    (void)p;
    if (f->c < 2) return fit_refuse(f, "one class has no regret");
    TRY(mem_new(&s, 1, sizeof *s, "pNML"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->rows = f->o->train->n;
    TRY(fit_unit(f));
    TRY(budget_new(f->mem, &a, d * d, sizeof *a, "second moment"));
    TRY(budget_new(f->mem, &values, d, sizeof *values, "eigenvalues"));
    TRY(budget_zeroed(f->mem, &origin, d, sizeof *origin, "origin"));
    TRY(budget_zeroed(f->mem, &s->zero, d, sizeof *s->zero, "origin"));
    TRY(invert(f, s, a, values, origin));
    if (rc == FIT_REFUSED) goto done;
    TRY(f->la->ops->keep(f->la, &s->kept, &(linalg_values){.n = s->rank, .k = d, .f32 = s->a}));
    TRY(f->la->ops->keep(f->la, &s->kept_zero, &(linalg_values){.n = 1, .k = d, .f32 = s->zero}));
done:
    if (s != NULL) {
        budget_free(f->mem, &a);
        budget_free(f->mem, &values);
        budget_free(f->mem, &origin);
    }
    return rc;
}

/* log sum_c 1 / (1 + (1 - p_c) p_c^(kappa - 1)); a probability of 0 adds 0, as kappa < 1 */
static double regret(const float *z, size_t c, double lse, double kappa)
{
    double sum = 0;
    for (size_t k = 0; k < c; k++) {
        double log_p = fmin((double)z[k] - lse, 0);
        sum += 1 / (1 - expm1(log_p) * exp((kappa - 1) * log_p));
    }
    return log(sum);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    fit_context *f = b->cache->f;
    float *unit, *z, *norm;
    (void)p;
    TRY(block_work(b, 0, b->cache->rows * b->d, &unit));
    TRY(block_work(b, 1, b->cache->rows * b->c, &z));
    TRY(block_work(b, 2, b->cache->rows, &norm));
    rows_unit(b->h, b->n, b->d, unit);
    TRY(s->la->ops->norms(s->la, s->kept, s->rank, s->kept_zero, unit, b->n, norm));
    TRY(logits_compute(f, unit, b->n, z));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        row_sums sums;
        double q = (double)norm[i] * (double)norm[i] / (double)s->rows;
        rowmath_best()->softmax(z + i * b->c, b->c, NULL, &sums);
        out[i] = (float)(-regret(z + i * b->c, b->c, sums.lse, q / (1 + q)) / log((double)b->c));
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) {
        s->la->ops->drop(s->la, &s->kept);
        s->la->ops->drop(s->la, &s->kept_zero);
    }
    if (s->mem != NULL) {
        budget_free(s->mem, &s->a);
        budget_free(s->mem, &s->zero);
    }
    free(s);
    *state = NULL;
}

const method method_pnml = {
    .name = "pnml",
    .title = "pNML",
    .formula = "-log_C sum_c p_c / (p_c + (1 - p_c) p_c^kappa), kappa = q / (1 + q), q = f' (X'X)^+ f, f = h / |h|",
    .paper = "Bibas, Feder and Hassner, Single Layer Predictive Normalized Maximum Likelihood for Out-of-Distribution "
             "Detection, NeurIPS 2021, arXiv:2110.09246",
    .quirks = "p of the head on normalised features; a row of zeros stays one; a probability that underflows adds nothing",
    .groups = "pytorch-ood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_UNIT,
    .fit = fit,
    .score = score,
    .free = release,
};
