#include "extract/cpu/probes.h"
#include "extract/cpu/doubles.h"
#include "extract/cpu/lines.h"

#include <math.h>
#include <string.h>

/* ---- gradients of scalars ----------------------------------------------------------------------- */

static size_t first_largest(const float *z, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (z[i] > z[best]) best = i;
    return best;
}

static void cotangent(const node *v, const float *z, float *y)
{
    const size_t n = (size_t)v->out.c, most = first_largest(z, n);
    const double t = v->kind == COTANGENT_CE ? (double)v->scale : 1, top = (double)z[most];
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += exp(((double)z[i] - top) / t);
    for (size_t i = 0; i < n; i++) {
        double p = exp(((double)z[i] - top) / t) / total;
        switch ((cotangent_kind)v->kind) {
        case COTANGENT_CE: y[i] = (float)((p - (i == most)) / t); break;
        case COTANGENT_UNIFORM: y[i] = (float)(p - 1 / (double)n); break;
        case COTANGENT_LOGSUMEXP: y[i] = (float)p; break;
        case COTANGENT_MAX: y[i] = i == most; break;
        case COTANGENT_LOGIT: y[i] = i == (size_t)v->offset; break;
        }
    }
}

void probe_cotangent(const node *v, const view *z, const view *y, int n)
{
    for (size_t i = 0; i < (size_t)n; i++)
        cotangent(v, (const float *)(const void *)view_pixel(z, i, 0, 0),
                  (float *)(void *)view_pixel(y, i, 0, 0));
}

size_t probe_gaussian_scratch(const view *x)
{
    return 2 * (size_t)x->c * sizeof(double);
}

/* y = P x */
static void apply(const float *precision, const double *x, size_t d, double *y)
{
    for (size_t j = 0; j < d; j++)
        y[j] = doubles_dot(precision + j * d, x, d);
}

void probe_gaussian_offsets(const float *means, size_t classes, const float *precision, size_t d, double *scratch,
                            double *offsets)
{
    double *m = scratch, *p = m + d;
    for (size_t k = 0; k < classes; k++) {
        for (size_t j = 0; j < d; j++)
            m[j] = (double)means[k * d + j];
        apply(precision, m, d, p);
        offsets[k] = doubles_dot2(m, p, d);
    }
}

/* P is symmetric: the distances (x - m_k)' P (x - m_k) are x' P x - 2 m_k' P x + m_k' P m_k. */
void probe_gaussian(const float *means, size_t classes, const float *precision, const double *offsets, const view *x,
                    void *scratch, const view *y, int n)
{
    const size_t d = (size_t)x->c;
    double *apart = scratch, *p = apart + d;
    for (size_t i = 0; i < (size_t)n; i++) {
        const float *from = (const float *)(const void *)view_pixel(x, i, 0, 0);
        float *to = (float *)(void *)view_pixel(y, i, 0, 0);
        double least = INFINITY;
        size_t best = 0;
        for (size_t j = 0; j < d; j++)
            apart[j] = (double)from[j];
        apply(precision, apart, d, p);
        for (size_t k = 0; k < classes; k++) {
            double here = offsets[k] - 2 * doubles_dot(means + k * d, p, d);
            if (here < least) {
                least = here;
                best = k;
            }
        }
        for (size_t j = 0; j < d; j++)
            apart[j] -= (double)means[best * d + j];
        apply(precision, apart, d, p);
        for (size_t j = 0; j < d; j++)
            to[j] = (float)p[j];
    }
}

/* ---- changed inputs ----------------------------------------------------------------------------- */

static float element(const view *v, size_t i, size_t k)
{
    const size_t area = (size_t)v->h * (size_t)v->w, p = k % area, c = k / area;
    const char *at = view_pixel(v, i, p / (size_t)v->w, p % (size_t)v->w);
    return v->is_bf16 ? bf16_to_float(((const bf16 *)(const void *)at)[c])
                      : ((const float *)(const void *)at)[c];
}

static void set_element(const view *v, size_t i, size_t k, float f)
{
    const size_t area = (size_t)v->h * (size_t)v->w, p = k % area, c = k / area;
    char *at = view_pixel(v, i, p / (size_t)v->w, p % (size_t)v->w);
    if (v->is_bf16) ((bf16 *)(void *)at)[c] = bf16_from_float(f);
    else ((float *)(void *)at)[c] = f;
}

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, PASSES = 3 };

size_t probe_perturb_scratch(const node *v, const view *x)
{
    return v->kind == PERTURB_SMALLEST ? (size_t)x->c * (size_t)x->h * (size_t)x->w * sizeof(uint32_t) : 0;
}

/* The bits of |g|, which are ordered as |g| is; the value of rank `take` (from 0) and how many are below it. */
static uint32_t ranked_value(const uint32_t *size, size_t n, size_t take, size_t *below)
{
    uint32_t known = 0, mask = 0;
    *below = 0;
    for (int pass = PASSES - 1; pass >= 0; pass--) {
        const int shift = pass * RADIX_BITS;
        size_t count[RADIX] = { 0 }, digit = 0;
        for (size_t k = 0; k < n; k++)
            if ((size[k] & mask) == known) count[size[k] >> shift & (RADIX - 1)]++;
        for (; digit + 1 < RADIX && *below + count[digit] <= take; digit++)
            *below += count[digit];
        known |= (uint32_t)digit << shift;
        mask |= (uint32_t)(RADIX - 1) << shift;
    }
    return known;
}

typedef struct choice { /* elements that change: |g| below, and the first `ties` that are equal */
    uint32_t limit;
    size_t ties;
} choice;

static choice choose_smallest(const node *v, const view *g, size_t i, uint32_t *size)
{
    const size_t n = (size_t)v->out.c * (size_t)v->out.h * (size_t)v->out.w;
    const size_t take = (size_t)((double)n * (double)v->share);
    size_t below;
    choice c = { .limit = UINT32_MAX, .ties = n };
    for (size_t k = 0; k < n; k++) {
        float f = fabsf(element(g, i, k));
        memcpy(&size[k], &f, sizeof f);
    }
    if (take >= n) return c;
    c.limit = ranked_value(size, n, take, &below);
    c.ties = take - below;
    return c;
}

static size_t choose_largest(const node *v, const view *g, size_t i)
{
    const size_t n = (size_t)v->out.c * (size_t)v->out.h * (size_t)v->out.w;
    size_t best = 0;
    for (size_t k = 1; k < n; k++)
        if (fabsf(element(g, i, k)) > fabsf(element(g, i, best))) best = k;
    return best;
}

static float changed(const node *v, float x, float g, size_t channel)
{
    const int zero_counts = v->kind == PERTURB_SIGN || v->kind == PERTURB_LARGEST;
    const int up = v->kind == PERTURB_SMALLEST || v->kind == PERTURB_FGSM;
    const double s = g < 0 ? -1 : g > 0 || zero_counts ? 1 : 0;
    const double step = s * (double)v->amount / (double)v->divisor[channel];
    const double y = (double)x + (up ? step : -step);
    return (float)(v->kind == PERTURB_FGSM ? fmin(fmax(y, 0), 1) : y);
}

void probe_perturb(const node *v, const view *x, const view *g, void *scratch, const view *y, int n)
{
    const size_t area = (size_t)y->h * (size_t)y->w, all = (size_t)y->c * area;
    for (size_t i = 0; i < (size_t)n; i++) {
        uint32_t *size = scratch;
        choice c = { 0, 0 };
        size_t only = all;
        if (v->kind == PERTURB_SMALLEST) c = choose_smallest(v, g, i, size);
        if (v->kind == PERTURB_LARGEST) only = choose_largest(v, g, i);
        for (size_t k = 0; k < all; k++) {
            const float from = element(x, i, k);
            int takes = 1;
            if (v->kind == PERTURB_LARGEST) takes = k == only;
            if (v->kind == PERTURB_SMALLEST) {
                takes = size[k] < c.limit || (size[k] == c.limit && c.ties > 0);
                if (size[k] == c.limit && c.ties > 0) c.ties--;
            }
            set_element(y, i, k, takes ? changed(v, from, element(g, i, k), k / area) : from);
        }
    }
}

/* ---- Gram matrices ------------------------------------------------------------------------------ */

size_t probe_gram_scratch(const view *x)
{
    return (size_t)x->c * (2 * sizeof(double) + sizeof(float));
}

/* power *= x, once for each power; r += power sum(power) */
static void add_pixel(const float *x, size_t c, int q, double *power, double *r)
{
    double part[8] = { 0 }, total = 0;
    for (size_t k = 0; k < c; k++) {
        double p = (double)x[k], f = p;
        for (int i = 1; i < q; i++)
            p *= f;
        power[k] = p;
        part[k % 8] += p;
    }
    for (int i = 0; i < 8; i++)
        total += part[i];
    doubles_add2(r, total, power, c);
}

void probe_gram(const view *x, int powers, void *scratch, const view *y, int n)
{
    const size_t c = (size_t)x->c;
    double *r = scratch, *power = r + c;
    float *t = (float *)(void *)(power + c);
    for (size_t i = 0; i < (size_t)n; i++)
        for (int q = 1; q <= powers; q++) {
            float *to = (float *)(void *)view_pixel(y, i, 0, 0) + (size_t)(q - 1) * c;
            memset(r, 0, c * sizeof *r);
            for (size_t p = 0; p < (size_t)x->h * (size_t)x->w; p++) {
                const char *at = view_pixel(x, i, p / (size_t)x->w, p % (size_t)x->w);
                const float *row = (const float *)(const void *)at;
                if (x->is_bf16) {
                    line_widen_bf16(at, t, c);
                    row = t;
                }
                add_pixel(row, c, q, power, r);
            }
            for (size_t k = 0; k < c; k++)
                to[k] = (float)copysign(pow(fabs(r[k]), 1.0 / q), r[k]);
        }
}
