#include "score/stats/quantile.h"
#include "common/err.h"
#include "score/stats/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Monotone map of floats to integers: the sign bit flips for positive, all bits for negative. */
static inline uint32_t key_of(float v)
{
    uint32_t u;
    v += 0.0f; /* -0 -> 0 */
    memcpy(&u, &v, sizeof u);
    return u ^ ((uint32_t)((int32_t)u >> 31) | 0x80000000u);
}

static float value_of(uint32_t key)
{
    uint32_t u = (key & 0x80000000u) ? key ^ 0x80000000u : ~key;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

void quantile_count(quantile_counts *h, const float *v, size_t n)
{
#pragma omp parallel for num_threads(QUANTILE_LANES) if (n > 65536)
    for (int l = 0; l < QUANTILE_LANES; l++) {
        uint64_t *bin = h->bin[l];
        size_t end = n * (size_t)(l + 1) / QUANTILE_LANES;
        for (size_t i = n * (size_t)l / QUANTILE_LANES; i < end; i++)
            bin[key_of(v[i]) >> 16]++;
    }
    h->n += n;
}

static double interpolate(float lower, float upper, double t)
{
    double a = (double)lower, b = (double)upper, diff = (double)(upper - lower);
    return t >= 0.5 ? b - diff * (1.0 - t) : a + diff * t;
}

static void position(uint64_t n, double q, uint64_t *i, double *t)
{
    double v = q * (double)(n - 1);
    *i = (uint64_t)floor(v);
    *t = v - floor(v);
}

static int compare(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double quantile_by_sort(float *v, size_t n, double q)
{
    uint64_t i;
    double t;
    qsort(v, n, sizeof *v, compare);
    position(n, q, &i, &t);
    return interpolate(v[i], v[i + 1 < n ? i + 1 : i], t);
}

static uint64_t in_bin(const quantile_counts *h, size_t b)
{
    uint64_t sum = 0;
    for (int l = 0; l < QUANTILE_LANES; l++)
        sum += h->bin[l][b];
    return sum;
}

/* The class that holds the value of this rank; *before: values in the classes below it. */
static size_t find_bin(const quantile_counts *h, uint64_t rank, uint64_t *before)
{
    uint64_t sum = 0, now;
    size_t b = 0;
    while (sum + (now = in_bin(h, b)) <= rank) {
        sum += now;
        b++;
    }
    *before = sum;
    return b;
}

/* Counts by the lower halves of the keys whose upper half is one of those that `slot` knows. */
enum { FINE_MAX = 32 };
typedef struct fine_counts {
    uint8_t slot[QUANTILE_BINS]; /* 0: none, else one more than the place in `at` */
    quantile_counts *at[FINE_MAX];
    size_t n;
} fine_counts;

static int count_fine(void *arg, size_t begin, size_t n, size_t d, const float *v)
{
    fine_counts *f = arg;
    size_t all = n * d;
    (void)begin;
#pragma omp parallel for num_threads(QUANTILE_LANES) if (all > 65536)
    for (int l = 0; l < QUANTILE_LANES; l++) {
        size_t end = all * (size_t)(l + 1) / QUANTILE_LANES;
        for (size_t i = all * (size_t)l / QUANTILE_LANES; i < end; i++) {
            uint32_t k = key_of(v[i]);
            uint8_t slot = f->slot[k >> 16];
            if (slot != 0) f->at[slot - 1]->bin[l][k & 0xffff]++;
        }
    }
    return 0;
}

static int count_coarse(void *arg, size_t begin, size_t n, size_t d, const float *v)
{
    (void)begin;
    quantile_count(arg, v, n * d);
    return 0;
}

typedef struct wanted { /* one quantile: two neighbours in rank and the place between them */
    uint64_t rank[2], before[2];
    uint32_t upper[2];
    double t;
} wanted;

static void locate(const quantile_counts *coarse, double q, wanted *w)
{
    position(coarse->n, q, &w->rank[0], &w->t);
    w->rank[1] = w->rank[0] + 1 < coarse->n ? w->rank[0] + 1 : w->rank[0];
    for (int i = 0; i < 2; i++)
        w->upper[i] = (uint32_t)find_bin(coarse, w->rank[i], &w->before[i]);
}

/* Takes classes for w; 0 when there is no room for them in this pass. */
static int take(fine_counts *f, const wanted *w, budget *mem, int *rc)
{
    size_t need = f->slot[w->upper[0]] == 0 ? 1 : 0;
    if (w->upper[1] != w->upper[0] && f->slot[w->upper[1]] == 0) need++;
    if (f->n + need > FINE_MAX) return 0;
    for (int i = 0; i < 2 && *rc == 0; i++) {
        if (f->slot[w->upper[i]] != 0) continue;
        *rc = budget_zeroed(mem, &f->at[f->n], 1, sizeof *f->at[f->n], "quantile");
        if (*rc == 0) f->slot[w->upper[i]] = (uint8_t)++f->n;
    }
    return 1;
}

static double look_up(const fine_counts *f, const wanted *w)
{
    uint64_t rest;
    float v[2];
    for (int i = 0; i < 2; i++) {
        const quantile_counts *c = f->at[f->slot[w->upper[i]] - 1];
        v[i] = value_of(w->upper[i] << 16 |
                        (uint32_t)find_bin(c, w->rank[i] - w->before[i], &rest));
    }
    return interpolate(v[0], v[1], w->t);
}

int quantile_features_many(const source *s, const double *q, size_t n, const quantile_counts *coarse,
                           budget *mem, double *out)
{
    int rc = 0;
    quantile_counts *own = NULL;
    wanted *w = NULL;
    fine_counts *fine = NULL;
    if (coarse == NULL) {
        TRY(budget_zeroed(mem, &own, 1, sizeof *own, "quantile"));
        TRY(rows_each(s, mem, count_coarse, own));
        coarse = own;
    }
    TRY(budget_new(mem, &w, n, sizeof *w, "quantile"));
    TRY(budget_new(mem, &fine, 1, sizeof *fine, "quantile"));
    for (size_t i = 0; i < n; i++)
        locate(coarse, q[i], &w[i]);
    for (size_t from = 0, to = 0; from < n; from = to) {
        memset(fine, 0, sizeof *fine);
        while (to < n && rc == 0 && take(fine, &w[to], mem, &rc))
            to++;
        if (rc == 0) rc = rows_each(s, mem, count_fine, fine);
        for (size_t i = from; i < to && rc == 0; i++)
            out[i] = look_up(fine, &w[i]);
        for (size_t i = 0; i < FINE_MAX; i++)
            budget_free(mem, &fine->at[i]);
        TRY(rc);
    }
done:
    budget_free(mem, &fine);
    budget_free(mem, &w);
    budget_free(mem, &own);
    return rc;
}

int quantile_features(const source *s, double q, const quantile_counts *coarse, budget *mem,
                      double *out)
{
    return quantile_features_many(s, &q, 1, coarse, mem, out);
}
