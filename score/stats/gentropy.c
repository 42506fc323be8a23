#include "score/stats/gentropy.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/rowmath.h"
#include "score/stats/topk.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t bits_of(float p)
{
    uint32_t u;
    memcpy(&u, &p, sizeof u);
    return u;
}

/* ---- one row, many settings ------------------------------------------------------------------- */

enum { LANES = 16 };

/* What one thread needs for a row. */
typedef struct row_room {
    float *top, *other; /* [c] the largest, descending; scratch of the sort */
    double *log_x;      /* [c] log(p (1 - p)) of them */
    float *hi, *lo, *e; /* [c] */
} row_room;

typedef struct settings { /* uses sorted out */
    size_t c, n;
    size_t most;      /* the largest m below c, 0: none */
    int whole;        /* some m is c */
    size_t n_gamma;
    double *gamma;    /* [n_gamma] distinct */
    size_t *of;       /* [n] which gamma a use has */
    size_t *m;        /* [n] at most c */
} settings;

static double log_of(float p)
{
    float x = p * (1.0f - p);
    return x > 0 ? log((double)x) : -INFINITY;
}

/* Descending, not negative: by four digits of eight bits. */
static void sort_down(float *v, float *other, size_t n)
{
    size_t count[4][256] = { { 0 } };
    float *from = v, *to = other;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = bits_of(v[i]);
        for (int d = 0; d < 4; d++)
            count[d][u >> (8 * d) & 255]++;
    }
    for (int d = 0; d < 4; d++) {
        size_t at = 0;
        float *swap = from;
        for (int k = 256; k-- > 0;) {
            size_t c = count[d][k];
            count[d][k] = at;
            at += c;
        }
        for (size_t i = 0; i < n; i++)
            to[count[d][bits_of(from[i]) >> (8 * d) & 255]++] = from[i];
        from = to;
        to = swap;
    }
}

/* The m largest, descending. */
static void take_top(const float *p, size_t c, size_t m, row_room *w)
{
    size_t larger, n = 0;
    float least = topk_least(p, c, m, &larger);
    for (size_t j = 0; j < c; j++)
        if (p[j] > least) w->top[n++] = p[j];
    for (; n < m; n++)
        w->top[n] = least;
    sort_down(w->top, w->other, m);
}

/* e = x^gamma for n logarithms of x.  The exponent is rounded to f32 for the vector exponential, and
 * what that loses comes back as a factor. */
static void powers(const rowmath *r, const double *log_x, size_t n, double gamma, row_room *w)
{
    for (size_t j = 0; j < n; j++) {
        double a = gamma * log_x[j];
        a = a > -110 ? a : -110; /* exp is 0 there; also for gamma times minus infinity */
        w->hi[j] = (float)a;
        w->lo[j] = (float)(a - (double)w->hi[j]);
    }
    r->exp(w->hi, n, w->e);
    for (size_t j = 0; j < n; j++)
        w->e[j] += w->e[j] * w->lo[j];
}

static double sum_of(const float *e, size_t n)
{
    double lane[LANES] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)e[i + l];
    for (size_t l = 0; i < n; i++, l++)
        lane[l] += (double)e[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* All settings whose m is c (`whole`), or all others, from n logarithms; the powers of a gamma serve each
 * m, whose terms are the first m of them. */
static void all_settings(const rowmath *r, const settings *s, const gentropy_use *v, size_t row,
                         int whole, size_t n, row_room *w)
{
    for (size_t g = 0; g < s->n_gamma; g++) {
        int ready = 0;
        for (size_t u = 0; u < s->n; u++) {
            if (s->of[u] != g || (s->m[u] == s->c) != whole) continue;
            if (s->gamma[g] == 0) {
                v[u].out[row] = -(float)s->m[u];
                continue;
            }
            if (!ready) powers(r, w->log_x, n, s->gamma[g], w);
            ready = 1;
            v[u].out[row] = (float)-sum_of(w->e, s->m[u]);
        }
    }
}

static void one_row(const rowmath *r, const float *p, const settings *s, const gentropy_use *v,
                    size_t row, row_room *w)
{
    if (s->most > 0) {
        take_top(p, s->c, s->most, w);
        for (size_t j = 0; j < s->most; j++)
            w->log_x[j] = log_of(w->top[j]);
        all_settings(r, s, v, row, 0, s->most, w);
    }
    if (!s->whole) return;
    for (size_t j = 0; j < s->c; j++)
        w->log_x[j] = log_of(p[j]);
    all_settings(r, s, v, row, 1, s->c, w);
}

static int sort_out(settings *s, size_t c, const gentropy_use *v, size_t n)
{
    int rc = 0;
    s->c = c;
    s->n = n;
    TRY(mem_new(&s->m, n, sizeof *s->m, "settings of GEN"));
    TRY(mem_new(&s->of, n, sizeof *s->of, "settings of GEN"));
    TRY(mem_new(&s->gamma, n, sizeof *s->gamma, "settings of GEN"));
    for (size_t u = 0; u < n; u++) {
        size_t g = 0;
        s->m[u] = v[u].m < c ? v[u].m : c;
        if (s->m[u] == c) s->whole = 1;
        else if (s->m[u] > s->most) s->most = s->m[u];
        while (g < s->n_gamma && s->gamma[g] != v[u].gamma)
            g++;
        if (g == s->n_gamma) s->gamma[s->n_gamma++] = v[u].gamma;
        s->of[u] = g;
    }
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
    TRY(mem_new_aligned(&room, threads * each, sizeof *room, "rows of GEN"));
    TRY(mem_new_aligned(&room32, threads * each * 5, sizeof *room32, "rows of GEN"));
#pragma omp parallel
    {
        float *f = room32 + 5 * each * (size_t)omp_get_thread_num();
        row_room w = { .top = f, .other = f + each, .hi = f + 2 * each, .lo = f + 3 * each,
                       .e = f + 4 * each, .log_x = room + each * (size_t)omp_get_thread_num() };
#pragma omp for
        for (size_t i = 0; i < n; i++)
            one_row(r, p + i * c, &s, v, i, &w);
    }
done:
    free(room32);
    free(room);
    free(s.of);
    free(s.m);
    free(s.gamma);
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
