#include "score/stats/products.h"
#include "common/err.h"
#include "score/stats/topk.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

enum { BINS = 65536 };

typedef struct room { /* of one thread */
    uint32_t *count; /* [BINS] */
    double *v;       /* [c d] */
} room;

static inline uint32_t bin_of(double v)
{
    uint64_t u;
    v += 0.0; /* -0 -> 0 */
    memcpy(&u, &v, sizeof u);
    u ^= (uint64_t)((int64_t)u >> 63) | 0x8000000000000000u;
    return (uint32_t)(u >> 48);
}

static void count(const double *a, const float *w, size_t c, size_t d, uint32_t *bin)
{
    memset(bin, 0, BINS * sizeof *bin);
    for (size_t i = 0; i < c; i++)
        for (size_t j = 0; j < d; j++)
            bin[bin_of(a[j] * (double)w[i * d + j])]++;
}

/* The products of bins first..last. */
static size_t collect(const double *a, const float *w, size_t c, size_t d, uint32_t first,
                      uint32_t last, double *v)
{
    size_t n = 0;
    for (size_t i = 0; i < c; i++)
        for (size_t j = 0; j < d; j++) {
            double x = a[j] * (double)w[i * d + j];
            uint32_t at = bin_of(x);
            v[n] = x;
            n += at >= first && at <= last;
        }
    return n;
}

static double quantile_of(const double *a, const float *w, size_t c, size_t d, double q, const room *r)
{
    size_t all = c * d, rank, before = 0, upto, n;
    uint32_t first = 0, last;
    double v = q * (double)(all - 1), t = v - floor(v);
    rank = (size_t)v;
    count(a, w, c, d, r->count);
    while (before + r->count[first] <= rank)
        before += r->count[first++];
    last = first;
    upto = before + r->count[first];
    while (upto <= rank + 1 && upto < all)
        upto += r->count[++last];
    n = collect(a, w, c, d, first, last, r->v);
    /* among the collected: ranks rank - before and the next; the position keeps its fraction */
    return select_quantile_at(r->v, n, rank - before, t);
}

int products_quantile(const double *a, size_t n, const float *w, size_t c, size_t d, double q,
                      budget *mem, double *value)
{
    int rc = 0, threads = omp_get_max_threads();
    uint32_t *counts = NULL;
    double *v = NULL;
    TRY(budget_new(mem, &counts, (size_t)threads * BINS, sizeof *counts, "counts of products"));
    TRY(budget_new(mem, &v, (size_t)threads * (c * d + 1), sizeof *v, "products"));
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t k = 0; k < n; k++) {
        size_t me = (size_t)omp_get_thread_num();
        room r = {counts + me * BINS, v + me * (c * d + 1)};
        value[k] = quantile_of(a + k * d, w, c, d, q, &r);
    }
done:
    budget_free(mem, &counts);
    budget_free(mem, &v);
    return rc;
}
