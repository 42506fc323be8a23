/* AdaSCALE.  Regmi, Panthi, Ming, Gyawali, Stoyanov and Bhattarai, arXiv:2503.08023.
 *   f' the vector of the moved image (probe `adascale`)
 *   Q' = sum over the k1 largest f of max(f'_j, 0) + lambda sum over the k2 largest f of |f_j - f'_j|
 *   q = low + (1 - E(Q')) (high - low), E the distribution of Q' on ID validation rows
 *   k = D - round(D q / 100), r = sum relu(f) / sum of its k largest
 *   -A: S = logsumexp(W (f exp r) + b)      -L: S = logsumexp(r^2 z) */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/draw.h"
#include "score/stats/rows.h"
#include "score/stats/shaped.h"
#include "score/stats/tables.h"
#include "score/stats/tempered.h"
#include "score/stats/topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "adascale/features"
#define MOST_EXPONENT 60.0

typedef struct state_type {
    size_t k1, k2, n;
    double lambda, low, high;
    double *sorted; /* [n] Q' of validation rows, ascending */
} state_type;

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    (void)p;
    (void)role;
    (void)id;
    return table_lacks(s, TABLE, "adascale", why, room);
}

/* Of the k largest f, the first of equal ones: sum of max(f', 0), or of |f - f'|. */
static double over_largest(const float *f, const float *moved, size_t d, size_t k, int shift)
{
    size_t larger;
    double sum = 0;
    if (k == 0) return 0;
    float least = topk_least(f, d, k, &larger);
    size_t equal = k - larger;
    for (size_t j = 0; j < d; j++) {
        if (f[j] < least || (f[j] == least && equal == 0)) continue;
        equal -= f[j] == least;
        sum += shift ? fabs((double)f[j] - (double)moved[j]) : fmax((double)moved[j], 0);
    }
    return sum;
}

static double shift_of(const state_type *s, const float *f, const float *moved, size_t d)
{
    return over_largest(f, moved, d, s->k1, 0) + s->lambda * over_largest(f, moved, d, s->k2, 1);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    const source *val = f->o->val_id;
    size_t d = f->d, most = (size_t)param_int(p, "val"), *row = NULL;
    float *buffer = NULL;
    const float *h, *moved;
    state_type *s;
    TRY(mem_new(&s, 1, sizeof *s, "AdaSCALE"));
    *state = s;
    s->k1 = (size_t)((double)d * param_double(p, "k1") / 100);
    s->k2 = (size_t)((double)d * param_double(p, "k2") / 100);
    s->lambda = param_double(p, "lambda");
    s->low = param_double(p, "low");
    s->high = param_double(p, "high");
    s->n = val->n < most ? val->n : most;
    TRY(mem_new(&s->sorted, s->n, sizeof *s->sorted, "AdaSCALE"));
    TRY(mem_new(&row, s->n, sizeof *row, "AdaSCALE"));
    TRY(mem_new(&buffer, 2 * d, sizeof *buffer, "AdaSCALE"));
    draw_sample((uint64_t)param_int(p, "seed"), val->n, s->n, row);
    for (size_t i = 0; i < s->n; i++) {
        TRY(source_features(val, row[i], 1, buffer, &h));
        TRY(rows_check_finite(val, row[i], 1, d, h, "features"));
        TRY(table_rows(val, TABLE, d, row[i], 1, buffer + d, &moved));
        s->sorted[i] = shift_of(s, h, moved, d);
    }
    qsort(s->sorted, s->n, sizeof *s->sorted, ascending);
done:
    free(row);
    free(buffer);
    return rc;
}

/* E: the share of validation rows up to q. */
static double share_up_to(const state_type *s, double q)
{
    size_t low = 0, high = s->n; /* rows below `low` are <= q */
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->sorted[mid] <= q) low = mid + 1;
        else high = mid;
    }
    return (double)low / (double)s->n;
}

/* r of each row; 1 where nothing is active. */
static int factors(const state_type *s, const score_block *b, double *r)
{
    int rc = 0;
    size_t d = b->d;
    const float *moved;
    float *relu;
    TRY(block_table(b, 0, TABLE, d, &moved));
    TRY(block_work(b, 1, b->n * d, &relu));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < b->n; i++) {
        const float *f = b->h + i * d;
        double q = s->low + (1 - share_up_to(s, shift_of(s, f, moved + i * d, d))) * (s->high - s->low);
        double away = nearbyint((double)d * q / 100), all = 0, top;
        size_t k = away < (double)d ? d - (size_t)away : 1;
        for (size_t j = 0; j < d; j++) {
            relu[i * d + j] = f[j] > 0 ? f[j] : 0;
            all += (double)relu[i * d + j];
        }
        top = topk_sum(relu + i * d, d, k);
        r[i] = top > 0 ? all / top : 1;
    }
done:
    return rc;
}

static void scaled(const void *arg, const score_block *b, size_t i, float *h)
{
    float by = (float)exp(fmin(((const double *)arg)[i], MOST_EXPONENT));
    for (size_t j = 0; j < b->d; j++)
        h[j] = b->h[i * b->d + j] * by;
}

static int score_a(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    double *r = NULL;
    (void)p;
    TRY(mem_new(&r, b->n, sizeof *r, "factors"));
    TRY(factors(state, b, r));
    TRY(shaped_energy(b, &(shaping){ .shape = scaled, .arg = r }, out));
done:
    free(r);
    return rc;
}

static int score_l(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    double *r = NULL, top;
    (void)p;
    TRY(mem_new(&r, b->n, sizeof *r, "factors"));
    TRY(factors(state, b, r));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)tempered_lse(b->z + i * b->c, b->c, r[i] * r[i], &top);
done:
    free(r);
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    free(s->sorted);
    free(s);
    *state = NULL;
}

static const method_opt options[] = {
    {"low", "75", "least percentile of features that do not count", 0, 100, NULL, 0},
    {"high", "85", "and the largest", 0, 100, NULL, 0},
    {"k1", "5", "per cent of the features whose moved values are summed", 0, 100, NULL, 0},
    {"k2", "1", "per cent whose changes are summed", 0, 100, NULL, 0},
    {"lambda", "10", "weight of the changes", 0, 1e9, NULL, 0},
    {"val", "5000", "validation rows that are drawn for the distribution", 1, 1e9, NULL, METHOD_WHOLE},
    {"seed", "0", "of the draw", 0, 4294967295.0, NULL, METHOD_WHOLE},
    {0}};

#define ADASCALE(tail, how, called, what)                                                          \
    .name = "adascale-" tail, .title = called, .formula = what,                                    \
    .paper = "Regmi et al., AdaSCALE: Adaptive Scaling for OOD Detection, arXiv:2503.08023",       \
    .quirks = "OpenOOD's configuration says low=80 is best for ResNet-50; its validation rows are drawn without a " \
              "seed",                                                                              \
    .groups = "openood", .opts = options, .probe = "adascale", .lacks = lacks, .fit = fit, .score = how,            \
    .free = release

const method method_adascale_a = {
    ADASCALE("a", score_a, "AdaSCALE-A", "logsumexp(W (f exp r) + b), r by how far a small change moves f"),
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_VAL,
};

const method method_adascale_l = {
    ADASCALE("l", score_l, "AdaSCALE-L", "logsumexp(r^2 z), r by how far a small change moves f"),
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_VAL,
};
