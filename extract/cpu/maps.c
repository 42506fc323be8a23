#include "extract/cpu/maps.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

static inline float *pixel(const view *v, size_t i, size_t y, size_t x)
{
    return v->p + i * v->image + y * v->row + x * v->ld;
}

/* relu(NaN) is NaN, as in torch. */
static inline float activate(float v, activation act)
{
    if (act != ACT_NONE) v = v < 0.0f ? 0.0f : v;
    if (act == ACT_RELU6) v = v > 6.0f ? 6.0f : v;
    return v;
}

#define EACH_PIXEL(v, n)                                                                           \
    for (size_t i = 0; i < (size_t)(n); i++)                                                       \
        for (size_t oy = 0; oy < (size_t)(v)->h; oy++)                                             \
            for (size_t ox = 0; ox < (size_t)(v)->w; ox++)

void map_normalise(const uint8_t *rgb, size_t per, const float table[3][256], const view *y, int n)
{
    EACH_PIXEL(y, n)
    {
        const uint8_t *from = rgb + i * per + (oy * (size_t)y->w + ox) * 3;
        float *to = pixel(y, i, oy, ox);
        for (size_t c = 0; c < 3; c++)
            to[c] = table[c][from[c]];
    }
}

void map_import(const float *chw, size_t per, const view *y, int n)
{
    size_t area = (size_t)y->h * (size_t)y->w;
    EACH_PIXEL(y, n)
        for (size_t c = 0; c < (size_t)y->c; c++)
            pixel(y, i, oy, ox)[c] = chw[i * per + c * area + oy * (size_t)y->w + ox];
}

static void zero_pixels(float *p, size_t count, const view *y)
{
    if (y->ld == (size_t)y->c) {
        memset(p, 0, count * y->ld * sizeof *p);
        return;
    }
    for (size_t i = 0; i < count; i++)
        memset(p + i * y->ld, 0, (size_t)y->c * sizeof *p);
}

void map_zero_halo(const view *y, int n)
{
    size_t halo = (size_t)y->halo, wide = (size_t)y->w + 2 * halo, h = (size_t)y->h;
    if (halo == 0) return;
    for (size_t i = 0; i < (size_t)n; i++) {
        float *corner = y->p + i * y->image - halo * y->row - halo * y->ld;
        for (size_t r = 0; r < halo; r++) {
            zero_pixels(corner + r * y->row, wide, y);
            zero_pixels(corner + (h + halo + r) * y->row, wide, y);
        }
        for (size_t r = halo; r < h + halo; r++) {
            zero_pixels(corner + r * y->row, halo, y);
            zero_pixels(corner + r * y->row + (halo + (size_t)y->w) * y->ld, halo, y);
        }
    }
}

/* ---- one line of channels, vectorised --------------------------------------------------------- */

CLONES static void line_scale(const float *x, const float *s, const float *t, activation act,
                              float *restrict y, size_t c)
{
    if (act == ACT_RELU)
        for (size_t k = 0; k < c; k++)
            y[k] = activate(x[k] * s[k] + t[k], ACT_RELU);
    else
        for (size_t k = 0; k < c; k++)
            y[k] = activate(x[k] * s[k] + t[k], act);
}

CLONES static void line_act(const float *x, activation act, float *restrict y, size_t c)
{
    for (size_t k = 0; k < c; k++)
        y[k] = activate(x[k], act);
}

CLONES static void line_add(const float *a, const float *b, activation act, float *restrict y,
                            size_t c)
{
    for (size_t k = 0; k < c; k++)
        y[k] = activate(a[k] + b[k], act);
}

CLONES static void line_max(const float *x, float *restrict y, size_t c)
{
    for (size_t k = 0; k < c; k++)
        y[k] = (x[k] > y[k]) | (x[k] != x[k]) ? x[k] : y[k];
}

CLONES static void line_sum(const float *x, float *restrict y, size_t c)
{
    for (size_t k = 0; k < c; k++)
        y[k] += x[k];
}

CLONES static void line_times(float f, float *y, size_t c)
{
    for (size_t k = 0; k < c; k++)
        y[k] *= f;
}

enum { TAPS_MAX = 49, LINE = 64 };

CLONES static void line_depthwise(const float *x, const size_t *tap, size_t taps, const float *w,
                                  size_t ldw, const float *bias, activation act,
                                  float *restrict y, size_t c)
{
    float acc[LINE];
    size_t k = 0;
    for (; k + LINE <= c; k += LINE) {
        for (size_t j = 0; j < LINE; j++)
            acc[j] = bias[k + j];
        for (size_t t = 0; t < taps; t++)
            for (size_t j = 0; j < LINE; j++)
                acc[j] += x[tap[t] + k + j] * w[t * ldw + k + j];
        for (size_t j = 0; j < LINE; j++)
            y[k + j] = activate(acc[j], act);
    }
    for (; k < c; k++) {
        float sum = bias[k];
        for (size_t t = 0; t < taps; t++)
            sum += x[tap[t] + k] * w[t * ldw + k];
        y[k] = activate(sum, act);
    }
}

/* ---- maps --------------------------------------------------------------------------------------- */

void map_scale_shift(const view *x, const float *scale, const float *shift, activation act,
                     const view *y, int n)
{
    EACH_PIXEL(y, n)
        line_scale(pixel(x, i, oy, ox), scale, shift, act, pixel(y, i, oy, ox), (size_t)y->c);
}

void map_activate(const view *x, activation act, const view *y, int n)
{
    EACH_PIXEL(y, n) line_act(pixel(x, i, oy, ox), act, pixel(y, i, oy, ox), (size_t)y->c);
}

void map_add(const view *a, const view *b, activation act, const view *y, int n)
{
    EACH_PIXEL(y, n)
        line_add(pixel(a, i, oy, ox), pixel(b, i, oy, ox), act, pixel(y, i, oy, ox), (size_t)y->c);
}

void map_copy(const view *x, const view *y, int n)
{
    EACH_PIXEL(x, n)
        memcpy(pixel(y, i, oy, ox), pixel(x, i, oy, ox), (size_t)x->c * sizeof(float));
}

void map_maxpool(const view *x, int kernel, int stride, int pad, const view *y, int n)
{
    EACH_PIXEL(y, n)
    {
        int y0 = (int)oy * stride - pad, x0 = (int)ox * stride - pad;
        float *to = pixel(y, i, oy, ox);
        int first = 1;
        for (int ky = y0 < 0 ? 0 : y0; ky < y0 + kernel && ky < x->h; ky++)
            for (int kx = x0 < 0 ? 0 : x0; kx < x0 + kernel && kx < x->w; kx++) {
                const float *from = pixel(x, i, (size_t)ky, (size_t)kx);
                if (first) memcpy(to, from, (size_t)y->c * sizeof *to);
                else line_max(from, to, (size_t)y->c);
                first = 0;
            }
    }
}

void map_avgpool(const view *x, int kernel, int stride, const view *y, int n)
{
    float each = 1.0f / (float)(kernel * kernel);
    EACH_PIXEL(y, n)
    {
        float *to = pixel(y, i, oy, ox);
        memset(to, 0, (size_t)y->c * sizeof *to);
        for (size_t ky = 0; ky < (size_t)kernel; ky++)
            for (size_t kx = 0; kx < (size_t)kernel; kx++)
                line_sum(pixel(x, i, oy * (size_t)stride + ky, ox * (size_t)stride + kx), to,
                         (size_t)y->c);
        line_times(each, to, (size_t)y->c);
    }
}

void map_gap(const view *x, const view *y, int n)
{
    for (size_t i = 0; i < (size_t)n; i++) {
        float *to = pixel(y, i, 0, 0);
        memset(to, 0, (size_t)y->c * sizeof *to);
        for (size_t ky = 0; ky < (size_t)x->h; ky++)
            for (size_t kx = 0; kx < (size_t)x->w; kx++)
                line_sum(pixel(x, i, ky, kx), to, (size_t)y->c);
        line_times(1.0f / (float)(x->h * x->w), to, (size_t)y->c);
    }
}

void map_shortcut_a(const view *x, const view *y, int n)
{
    size_t before = (size_t)(y->c - x->c) / 2;
    EACH_PIXEL(y, n)
    {
        float *to = pixel(y, i, oy, ox);
        memset(to, 0, (size_t)y->c * sizeof *to);
        memcpy(to + before, pixel(x, i, 2 * oy, 2 * ox), (size_t)x->c * sizeof *to);
    }
}

void map_depthwise(const view *x, const float *w, const float *bias, int kernel, int stride,
                   int pad, activation act, const view *y, int n)
{
    size_t tap[TAPS_MAX], k = (size_t)kernel, s = (size_t)stride;
    for (size_t t = 0; t < k * k; t++)
        tap[t] = t / k * x->row + t % k * x->ld;
    EACH_PIXEL(y, n)
    {
        const float *from = pixel(x, i, oy * s, ox * s) - (size_t)pad * (x->row + x->ld);
        line_depthwise(from, tap, k * k, w, (size_t)y->c, bias, act, pixel(y, i, oy, ox),
                       (size_t)y->c);
    }
}

/* ---- export -------------------------------------------------------------------------------------- */

static float reduce_channel(const view *x, size_t i, size_t c, reduction r)
{
    double sum = 0;
    float most = -INFINITY;
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++) {
            float v = pixel(x, i, ky, kx)[c];
            sum += (double)v;
            if (v > most || v != v) most = v;
        }
    if (r == REDUCE_MAX) return most;
    return (float)(r == REDUCE_MEAN ? sum / (double)(x->h * x->w) : sum);
}

void map_export(const view *x, int i, reduction r, float *out)
{
    size_t area = (size_t)x->h * (size_t)x->w, c = (size_t)x->c;
    if (r != REDUCE_NONE) {
        for (size_t k = 0; k < c; k++)
            out[k] = reduce_channel(x, (size_t)i, k, r);
        return;
    }
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++) {
            const float *from = pixel(x, (size_t)i, ky, kx);
            for (size_t k = 0; k < c; k++)
                out[k * area + ky * (size_t)x->w + kx] = from[k];
        }
}
