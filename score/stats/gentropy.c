#include "score/stats/gentropy.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/rowmath.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 2048 };

static inline uint32_t bits_of(float p)
{
    uint32_t u;
    memcpy(&u, &p, sizeof u);
    return u;
}

/* The m-th largest of p [c], 1 <= m <= c, and how many are larger.  Floats that are not negative are
 * ordered as their bits are: three digits are counted, from the top, within the prefix found so far. */
static float mth_largest(const float *p, size_t c, size_t m, size_t *larger)
{
    static const struct {
        int shift, bits;
    } digit[3] = {{20, 11}, {10, 10}, {0, 10}};
    uint32_t prefix = 0;
    float v;
    *larger = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t count[DIGITS] = {0}, at = (1u << digit[i].bits) - 1;
        int above = digit[i].shift + digit[i].bits;
        for (size_t j = 0; j < c; j++) {
            uint32_t u = bits_of(p[j]);
            if (i == 0 || u >> above == prefix) count[(u >> digit[i].shift) & at]++;
        }
        while (*larger + count[at] < m)
            *larger += count[at--];
        prefix = prefix << digit[i].bits | at;
    }
    memcpy(&v, &prefix, sizeof v);
    return v;
}

/* ---- one row, many settings ------------------------------------------------------------------- */

enum { LANES = 16 };

/* What one thread needs for a row. */
typedef struct row_room {
    double *log_x; /* [c] log(p (1 - p)), by class */
    double *top;   /* [c] of the classes above the m-th, in their order */
    float *hi, *lo, *e; /* [c + 1] */
} row_room;

typedef struct settings { /* uses sorted out by m */
    size_t n_m, c;
    size_t *m;  /* [n_m] distinct, at most c, descending */
    size_t *of; /* [n] which of them a use has */
} settings;

static double log_of(float p)
{
    float x = p * (1.0f - p);
    return x > 0 ? log((double)x) : -INFINITY;
}

/* x^gamma for n logarithms of x, summed in sixteen lanes.  The exponent is rounded to f32 for the
 * vector exponential, and what that loses comes back as a factor. */
static double power_sum(const rowmath *r, const double *log_x, size_t n, double gamma, row_room *w)
{
    double lane[LANES] = { 0 }, sum = 0;
    size_t i = 0;
    for (size_t j = 0; j < n; j++) {
        double a = gamma * log_x[j];
        a = a > -110 ? a : -110; /* exp is 0 there; also for gamma times minus infinity */
        w->hi[j] = (float)a;
        w->lo[j] = (float)(a - (double)w->hi[j]);
    }
    r->exp(w->hi, n, w->e);
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)(w->e[i + l] + w->e[i + l] * w->lo[i + l]);
    for (size_t l = 0; i < n; i++, l++)
        lane[l] += (double)(w->e[i] + w->e[i] * w->lo[i]);
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* The m largest: their logarithms, in the order of the classes; the ties of the least come last. */
static size_t take_top(const float *p, size_t c, size_t m, row_room *w)
{
    size_t larger, n = 0;
    float least = mth_largest(p, c, m, &larger);
    for (size_t j = 0; j < c; j++)
        if (p[j] > least) w->top[n++] = w->log_x[j];
    for (double last = log_of(least); n < m;)
        w->top[n++] = last;
    return n;
}

static void one_row(const rowmath *r, const float *p, const settings *s, const gentropy_use *v,
                    size_t n_uses, size_t row, row_room *w)
{
    size_t c = s->c, larger, all = s->m[0];
    float least = all < c ? mth_largest(p, c, all, &larger) : 0;
    for (size_t j = 0; j < c; j++)
        if (p[j] >= least) w->log_x[j] = log_of(p[j]);
    for (size_t k = 0; k < s->n_m; k++) {
        size_t m = s->m[k];
        const double *top = w->log_x;
        if (m < c) {
            take_top(p, c, m, w);
            top = w->top;
        }
        for (size_t u = 0; u < n_uses; u++) {
            if (s->of[u] != k) continue;
            v[u].out[row] =
                (float)-(v[u].gamma == 0 ? (double)m : power_sum(r, top, m, v[u].gamma, w));
        }
    }
}

static int descending(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

static int sort_out(settings *s, size_t c, const gentropy_use *v, size_t n)
{
    int rc = 0;
    s->c = c;
    TRY(mem_new(&s->m, n, sizeof *s->m, "settings of GEN"));
    TRY(mem_new(&s->of, n, sizeof *s->of, "settings of GEN"));
    for (size_t u = 0; u < n; u++)
        s->m[u] = v[u].m < c ? v[u].m : c;
    qsort(s->m, n, sizeof *s->m, descending);
    for (size_t u = 0; u < n; u++)
        if (u == 0 || s->m[u] != s->m[s->n_m - 1]) s->m[s->n_m++] = s->m[u];
    for (size_t u = 0; u < n; u++)
        while (s->m[s->of[u]] != (v[u].m < c ? v[u].m : c))
            s->of[u]++;
done:
    return rc;
}

int gentropy_many(const float *p, size_t n, size_t c, const gentropy_use *v, size_t n_uses)
{
    int rc = 0;
    const rowmath *r = rowmath_best();
    settings s = { 0 };
    size_t threads = (size_t)omp_get_max_threads(), each = c + LANES;
    double *room = NULL;
    float *room32 = NULL;
    TRY(sort_out(&s, c, v, n_uses));
    TRY(mem_new_aligned(&room, threads * each * 2, sizeof *room, "rows of GEN"));
    TRY(mem_new_aligned(&room32, threads * each * 3, sizeof *room32, "rows of GEN"));
#pragma omp parallel
    {
        double *a = room + 2 * each * (size_t)omp_get_thread_num();
        float *b = room32 + 3 * each * (size_t)omp_get_thread_num();
        row_room w = { a, a + each, b, b + each, b + 2 * each };
#pragma omp for
        for (size_t i = 0; i < n; i++)
            one_row(r, p + i * c, &s, v, n_uses, i, &w);
    }
done:
    free(room32);
    free(room);
    free(s.of);
    free(s.m);
    return rc;
}

int gentropy(const float *p, size_t n, size_t c, double gamma, size_t m, float *out)
{
    return gentropy_many(p, n, c, &(gentropy_use){ gamma, m, out }, 1);
}

gentropy_use gentropy_use_of(const method_params *params, float *out)
{
    return (gentropy_use){ param_double(params, "gamma"), (size_t)param_int(params, "m"), out };
}

int gentropy_rows(const method_params *params, const float *p, size_t n, size_t c, float *out)
{
    gentropy_use u = gentropy_use_of(params, out);
    return gentropy_many(p, n, c, &u, 1);
}
