/* NECO, neural collapse.  Ben Ammar et al., ICLR 2024, arXiv:2310.06823, as pytorch-ood.
 *   t = (h - mean) / std by feature, P the first d principal directions of the train t
 *   S = max z |P t| / |t|
 * Covariance of t, the correlation of the features, from the shared second moments; std divides by N; a feature whose
 * variance is nothing but rounding has std 1. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/shared.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    float *p;     /* [k,d] directions, divided by std */
    float *mean;  /* [d] */
    double *rate; /* [d] 1 / std */
    size_t k, d;  /* k == d: every direction, the ratio is 1 */
    int scaled;
    linalg_matrix *kept_p, *kept_mean;
    linalg *la;
    budget *mem;
} state_type;

static unsigned waives(const method_params *p)
{
    return strcmp(param_text(p, "scale"), "none") == 0 ? NEEDS_LOGITS : 0;
}

/* a [d,d], lower: covariance -> correlation */
static void standardise(state_type *s, double *a)
{
    size_t d = s->d;
    for (size_t j = 0; j < d; j++) {
        double v = a[j * d + j], m = (double)s->mean[j];
        s->rate[j] = v > 1e-24 ? 1 / sqrt(v) : 1;
        if (v > 1e-26 * m * m) continue;
        s->rate[j] = 1;
        for (size_t i = 0; i < d; i++)
            a[i > j ? i * d + j : j * d + i] = 0;
    }
#pragma omp parallel for
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++)
            a[i * d + j] *= s->rate[i] * s->rate[j];
}

/* The directions of the correlation a, of which there are no more than its rank. */
static int directions(fit_context *f, state_type *s, double *a, double *values)
{
    int rc = 0;
    size_t d = s->d, rank = 0, first = d - s->k;
    TRY(f->la->ops->eigh(f->la, d, a, values, first, s->k));
    while (rank < d && values[d - 1 - rank] > (double)d * DBL_EPSILON * values[d - 1] && values[d - 1] > 0)
        rank++;
    if (rank == 0) return fit_refuse(f, "the train features do not vary");
    if (rank < s->k) {
        log_info("neco: %zu directions of %zu: the others are without variance", rank, s->k);
        memmove(a, a + (s->k - rank) * d, rank * d * sizeof *a);
        s->k = rank;
    }
    TRY(budget_new(f->mem, &s->p, s->k * d, sizeof *s->p, "principal directions"));
    for (size_t i = 0; i < s->k; i++)
        for (size_t j = 0; j < d; j++)
            s->p[i * d + j] = (float)(a[i * d + j] * s->rate[j]);
    TRY(f->la->ops->keep(f->la, &s->kept_p, &(linalg_values){.n = s->k, .k = d, .f32 = s->p}));
    TRY(f->la->ops->keep(f->la, &s->kept_mean, &(linalg_values){.n = 1, .k = d, .f32 = s->mean}));
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t d = f->d, most = (size_t)param_int(p, "dim");
    double *a = NULL, *values = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "NECO"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->d = d;
    s->k = most < d ? most : d;
    s->scaled = waives(p) == 0;
    TRY(budget_new(f->mem, &s->mean, d, sizeof *s->mean, "mean feature"));
    TRY(budget_new(f->mem, &s->rate, d, sizeof *s->rate, "variances"));
    TRY(budget_new(f->mem, &a, d * d, sizeof *a, "correlation"));
    TRY(budget_new(f->mem, &values, d, sizeof *values, "eigenvalues"));
    fit_mean(f, values);
    scatter_about(&f->moments, values, a);
    for (size_t j = 0; j < d; j++)
        s->mean[j] = (float)values[j];
    standardise(s, a);
    if (s->k < d) TRY(directions(f, s, a, values));
done:
    if (s != NULL) {
        budget_free(f->mem, &a);
        budget_free(f->mem, &values);
    }
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    float *norm;
    (void)p;
    TRY(block_work(b, 0, b->cache->rows, &norm));
    if (s->k < s->d) TRY(s->la->ops->norms(s->la, s->kept_p, s->k, s->kept_mean, b->h, b->n, norm));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double sum = 0, ratio = 1;
        for (size_t j = 0; j < s->d; j++) {
            double t = ((double)b->h[i * s->d + j] - (double)s->mean[j]) * s->rate[j];
            sum += t * t;
        }
        if (s->k < s->d) ratio = sum > 0 ? fmin((double)norm[i] / sqrt(sum), 1) : 0;
        out[i] = (float)(s->scaled ? ratio * (double)b->zmax[i] : ratio);
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) {
        s->la->ops->drop(s->la, &s->kept_p);
        s->la->ops->drop(s->la, &s->kept_mean);
    }
    if (s->mem != NULL) {
        budget_free(s->mem, &s->p);
        budget_free(s->mem, &s->mean);
        budget_free(s->mem, &s->rate);
    }
    free(s);
    *state = NULL;
}

const method method_neco = {
    .name = "neco",
    .title = "NECO",
    .formula = "max z |P t| / |t|, t = (h - mean) / std, P = the first d principal directions of train",
    .paper = "Ben Ammar et al., NECO: NEural Collapse Based Out-of-distribution detection, ICLR 2024, "
             "arXiv:2310.06823",
    .quirks = "the factor max z is meant for transformers, scale=none is the paper's for ResNets; no more directions "
              "than the train features vary in; a row at the train mean gets 0 (NaN in the published code)",
    .groups = "pytorch-ood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_TRAIN,
    .stats = STAT_SECOND,
    .waives = waives,
    .opts = (const method_opt[]){{"dim", "100", "principal directions", 1, 1e9, NULL, METHOD_WHOLE},
                                 {"scale", "maxlogit", "factor: maxlogit or none", 0, 0, "maxlogit|none", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
