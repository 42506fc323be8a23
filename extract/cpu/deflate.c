#include "extract/cpu/deflate.h"
#include "extract/cpu/doubles.h"
#include "extract/cpu/lines.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 32, RESTARTS = 64 };

static const double RESIDUAL = 1e-10;

struct deflation {
    deflate_kind kind;
    int iterations;
    size_t c, pixels;
    float *start;     /* [c] of the power iteration */
};

/* One worker's memory. */
typedef struct desk {
    double *basis;    /* [STEPS + 1, c] */
    double *u, *v;    /* [c], [pixels] */
    float *row;       /* [c] a pixel of bf16 */
    double alpha[STEPS], beta[STEPS + 1];
} desk;

int deflate_new(deflation **out, const plan_step *s, const view *x)
{
    int rc = 0;
    deflation *d = NULL;
    TRY(mem_new(&d, 1, sizeof *d, "deflate"));
    d->kind = (deflate_kind)s->v->kind;
    d->iterations = s->v->iterations;
    d->c = (size_t)x->c;
    d->pixels = (size_t)x->h * (size_t)x->w;
    if (d->kind == DEFLATE_POWER) {
        TRY(mem_new(&d->start, d->c, sizeof *d->start, "deflate"));
        memcpy(d->start, s->w, d->c * sizeof *d->start);
    }
    *out = d;
    d = NULL;
done:
    deflate_free(&d);
    return rc;
}

void deflate_free(deflation **d)
{
    if (*d == NULL) return;
    free((*d)->start);
    free(*d);
    *d = NULL;
}

size_t deflate_scratch(const deflation *d)
{
    return ((STEPS + 2) * d->c + d->pixels) * sizeof(double) + d->c * sizeof(float);
}

static void cut(const deflation *d, void *scratch, desk *k)
{
    k->basis = scratch;
    k->u = k->basis + (STEPS + 1) * d->c;
    k->v = k->u + d->c;
    k->row = (float *)(void *)(k->v + d->pixels);
}

/* ---- the matrix --------------------------------------------------------------------------------- */

static const float *pixel(const view *x, size_t i, size_t p, float *t)
{
    const char *at = view_pixel(x, i, p / (size_t)x->w, p % (size_t)x->w);
    if (!x->is_bf16) return (const float *)(const void *)at;
    line_widen_bf16(at, t, (size_t)x->c);
    return t;
}

/* y = x x' u over the channels, in one walk; v [pixels] = x' u on the way. */
static void gram_times(const deflation *d, const view *x, size_t i, const double *u, double *v, double *y, float *t)
{
    memset(y, 0, d->c * sizeof *y);
    for (size_t p = 0; p < d->pixels; p++) {
        const float *row = pixel(x, i, p, t);
        v[p] = doubles_dot(row, u, d->c);
        doubles_add(y, v[p], row, d->c);
    }
}

/* y = x - u v' */
static void subtract(const deflation *d, const view *x, size_t i, const double *u, const double *v, const view *y,
                     float *t)
{
    for (size_t p = 0; p < d->pixels; p++) {
        const float *row = pixel(x, i, p, t);
        for (size_t k = 0; k < d->c; k++)
            t[k] = (float)((double)row[k] - v[p] * u[k]);
        LINE_OF(y, narrow, t, view_pixel(y, i, p / (size_t)y->w, p % (size_t)y->w), d->c);
    }
}

static void scale(double *v, double f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] *= f;
}

/* ---- Lanczos ------------------------------------------------------------------------------------ */

/* Eigenvalues of the m x m tridiagonal matrix that are above t (Sturm's sequence). */
static int count_above(const desk *k, int m, double t)
{
    int above = 0;
    double q = 1;
    for (int j = 0; j < m; j++) {
        double off = j > 0 ? k->beta[j] : 0;
        q = k->alpha[j] - t - (q != 0 ? off * off / q : fabs(off) / 1e-300);
        above += q > 0;
    }
    return above;
}

static double largest_eigenvalue(const desk *k, int m)
{
    double low = -INFINITY, high = 0;
    for (int j = 0; j < m; j++) {
        double reach = fabs(k->alpha[j]) + k->beta[j] + k->beta[j + 1];
        low = k->alpha[j] > low ? k->alpha[j] : low;
        high = reach > high ? reach : high;
    }
    for (int i = 0; i < 200 && high - low > 1e-16 * fabs(high); i++) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) break;
        if (count_above(k, m, middle) > 0) low = middle;
        else high = middle;
    }
    return low + (high - low) / 2;
}

/* Its vector from the last component up, the way in which it grows. */
static void eigenvector(const desk *k, int m, double value, double *s)
{
    double squares = 0;
    s[m - 1] = 1;
    for (int j = m - 1; j > 0; j--) {
        s[j - 1] = ((value - k->alpha[j]) * s[j] - (j + 1 < m ? k->beta[j + 1] * s[j + 1] : 0)) / k->beta[j];
        if (fabs(s[j - 1]) > 1e100)
            for (int i = j - 1; i < m; i++)
                s[i] *= 1e-100;
    }
    for (int j = 0; j < m; j++)
        squares += s[j] * s[j];
    for (int j = 0; j < m; j++)
        s[j] /= sqrt(squares);
}

/* The basis grows from its first vector until the largest pair is accurate: 1, else 0; -1: not finite.  The vector's
 * coordinates are s [*m]. */
static int grow(const deflation *d, const view *x, size_t i, desk *k, double *s, int *m)
{
    const int most = (size_t)STEPS < d->c ? STEPS : (int)d->c;
    k->beta[0] = 0;
    for (int j = 0; j < most; j++) {
        double *v = k->basis + (size_t)j * d->c, *next = v + d->c, value, residual;
        gram_times(d, x, i, v, k->v, next, k->row);
        k->alpha[j] = doubles_dot2(v, next, d->c);
        for (int again = 0; again < 2; again++) /* against rounding */
            for (int l = 0; l <= j; l++) {
                const double *u = k->basis + (size_t)l * d->c;
                doubles_add2(next, -doubles_dot2(u, next, d->c), u, d->c);
            }
        k->beta[j + 1] = sqrt(doubles_dot2(next, next, d->c));
        *m = j + 1;
        if (!isfinite(k->alpha[j]) || !isfinite(k->beta[j + 1])) return -1;
        value = largest_eigenvalue(k, *m);
        eigenvector(k, *m, value, s);
        residual = fabs(k->beta[j + 1] * s[j]);
        if (residual <= RESIDUAL * value || value <= 0 || *m == (int)d->c) return 1;
        if (j + 1 < most) scale(next, 1 / k->beta[j + 1], d->c);
    }
    return 0;
}

/* No singular vector is orthogonal to a start without pattern, but for bad luck. */
static void start(const deflation *d, double *v)
{
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < d->c; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        v[i] = (double)(state >> 11) / 9007199254740992.0 + 0.01; /* maps behind a ReLU are positive */
    }
    scale(v, 1 / sqrt(doubles_dot2(v, v, d->c)), d->c);
}

/* u of image i, of length 1; 0 where there is none. */
static int find_largest(const deflation *d, const view *x, size_t i, desk *k)
{
    double s[STEPS];
    int m = 0, found = 0;
    start(d, k->basis);
    for (int r = 0; r < RESTARTS && found == 0; r++) {
        found = grow(d, x, i, k, s, &m);
        if (found < 0) return 0;
        memset(k->u, 0, d->c * sizeof *k->u);
        for (int j = 0; j < m; j++)
            doubles_add2(k->u, s[j], k->basis + (size_t)j * d->c, d->c);
        scale(k->u, 1 / sqrt(doubles_dot2(k->u, k->u, d->c)), d->c);
        memcpy(k->basis, k->u, d->c * sizeof *k->u);
    }
    return found;
}

static void exact(const deflation *d, const view *x, size_t i, const view *y, desk *k)
{
    if (!find_largest(d, x, i, k)) k->u[0] = NAN;
    for (size_t p = 0; p < d->pixels; p++)
        k->v[p] = doubles_dot(pixel(x, i, p, k->row), k->u, d->c);
    subtract(d, x, i, k->u, k->v, y, k->row);
}

/* ---- power iteration ---------------------------------------------------------------------------- */

/* sigma = u' x v from the last u and v; 1e-10 as published. */
static void power(const deflation *d, const view *x, size_t i, const view *y, desk *k)
{
    double sigma = 0, *u = k->u, *next = k->basis;
    for (size_t j = 0; j < d->c; j++)
        u[j] = (double)d->start[j];
    memset(k->v, 0, d->pixels * sizeof *k->v);
    for (int r = 0; r < d->iterations; r++) {
        double length;
        gram_times(d, x, i, u, k->v, next, k->row);
        length = sqrt(doubles_dot2(k->v, k->v, d->pixels)) + 1e-10;
        scale(k->v, 1 / length, d->pixels);
        scale(next, 1 / length, d->c);
        memcpy(u, next, d->c * sizeof *u);
        scale(u, 1 / (sqrt(doubles_dot2(u, u, d->c)) + 1e-10), d->c);
    }
    for (size_t p = 0; p < d->pixels; p++)
        sigma += doubles_dot(pixel(x, i, p, k->row), u, d->c) * k->v[p];
    scale(k->v, sigma, d->pixels);
    subtract(d, x, i, u, k->v, y, k->row);
}

int deflate_run(const deflation *d, const view *x, const view *y, void *scratch, int n)
{
    desk k;
    cut(d, scratch, &k);
    for (size_t i = 0; i < (size_t)n; i++) {
        if (d->kind == DEFLATE_POWER) power(d, x, i, y, &k);
        else exact(d, x, i, y, &k);
    }
    return 0;
}
