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

/* Counts by the lower halves of the keys whose upper half is one of two. */
typedef struct fine_counts {
    uint32_t upper[2];
    quantile_counts *at[2];
} fine_counts;

static int count_fine(void *arg, size_t begin, size_t n, size_t d, const float *v)
{
    fine_counts *f = arg;
    uint32_t u0 = f->upper[0], u1 = f->upper[1];
    size_t all = n * d;
    (void)begin;
#pragma omp parallel for num_threads(QUANTILE_LANES) if (all > 65536)
    for (int l = 0; l < QUANTILE_LANES; l++) {
        size_t end = all * (size_t)(l + 1) / QUANTILE_LANES;
        for (size_t i = all * (size_t)l / QUANTILE_LANES; i < end; i++) {
            uint32_t k = key_of(v[i]);
            if (k >> 16 == u0) f->at[0]->bin[l][k & 0xffff]++;
            else if (k >> 16 == u1) f->at[1]->bin[l][k & 0xffff]++;
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

int quantile_features(const source *s, double q, const quantile_counts *coarse, budget *mem,
                      double *out)
{
    int rc = 0;
    quantile_counts *own = NULL;
    fine_counts fine = {{0, 0}, {NULL, NULL}};
    uint64_t rank[2], before[2], rest;
    float v[2];
    double t;
    if (coarse == NULL) {
        TRY(budget_zeroed(mem, &own, 1, sizeof *own, "quantile"));
        TRY(rows_each(s, mem, count_coarse, own));
        coarse = own;
    }
    position(coarse->n, q, &rank[0], &t);
    rank[1] = rank[0] + 1 < coarse->n ? rank[0] + 1 : rank[0];
    for (int i = 0; i < 2; i++) {
        fine.upper[i] = (uint32_t)find_bin(coarse, rank[i], &before[i]);
        TRY(budget_zeroed(mem, &fine.at[i], 1, sizeof *fine.at[i], "quantile"));
    }
    TRY(rows_each(s, mem, count_fine, &fine));
    for (int i = 0; i < 2; i++) {
        int at = i == 1 && fine.upper[1] == fine.upper[0] ? 0 : i;
        uint32_t low = (uint32_t)find_bin(fine.at[at], rank[i] - before[i], &rest);
        v[i] = value_of(fine.upper[i] << 16 | low);
    }
    *out = interpolate(v[0], v[1], t);
done:
    budget_free(mem, &fine.at[0]);
    budget_free(mem, &fine.at[1]);
    budget_free(mem, &own);
    return rc;
}
