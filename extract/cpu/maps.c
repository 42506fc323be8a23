#include "extract/cpu/maps.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/curves.h"
#include "extract/cpu/lines.h"

#include <math.h>
#include <string.h>

#define EACH_PIXEL(v, n)                                                                           \
    for (size_t i = 0; i < (size_t)(n); i++)                                                       \
        for (size_t oy = 0; oy < (size_t)(v)->h; oy++)                                             \
            for (size_t ox = 0; ox < (size_t)(v)->w; ox++)

/* Runs of pixels of y that are equally spaced in all of the views: a row, or everything where neither
 * halos nor other images come between. */
typedef struct runs {
    size_t outer, rows, pixels;
} runs;

static runs runs_of(const view *a, const view *b, const view *y, int n)
{
    const view *all[] = { a, b, y };
    for (int i = 0; i < 3; i++)
        if (all[i] != NULL && (all[i]->row != (size_t)y->w * all[i]->ld ||
                               all[i]->image != (size_t)y->h * all[i]->row))
            return (runs){ (size_t)n, (size_t)y->h, (size_t)y->w };
    return (runs){ 1, 1, (size_t)n * (size_t)y->h * (size_t)y->w };
}

#define EACH_RUN(r)                                                                                \
    for (size_t i = 0; i < (r).outer; i++)                                                         \
        for (size_t oy = 0; oy < (r).rows; oy++)

static inline float get(const view *v, const char *at, size_t c)
{
    return v->is_bf16 ? bf16_to_float(((const bf16 *)(const void *)at)[c])
                      : ((const float *)(const void *)at)[c];
}

static inline void put(const view *v, char *at, size_t c, float f)
{
    if (v->is_bf16) ((bf16 *)(void *)at)[c] = bf16_from_float(f);
    else ((float *)(void *)at)[c] = f;
}

/* ---- input and borders -------------------------------------------------------------------------- */

void map_normalise(const uint8_t *rgb, size_t per, const float table[3][256], const view *y, int n)
{
    EACH_PIXEL(y, n)
    {
        const uint8_t *from = rgb + i * per + (oy * (size_t)y->w + ox) * 3;
        char *to = view_pixel(y, i, oy, ox);
        for (size_t c = 0; c < 3; c++)
            put(y, to, c, table[c][from[c]]);
    }
}

void map_import(const float *chw, size_t per, const view *y, int n)
{
    size_t area = (size_t)y->h * (size_t)y->w;
    EACH_PIXEL(y, n)
        for (size_t c = 0; c < (size_t)y->c; c++)
            put(y, view_pixel(y, i, oy, ox), c, chw[i * per + c * area + oy * (size_t)y->w + ox]);
}

static void zero_pixels(char *p, size_t count, const view *y)
{
    size_t e = view_bytes(y);
    if (y->ld == (size_t)y->c) {
        memset(p, 0, count * y->ld * e);
        return;
    }
    for (size_t i = 0; i < count; i++)
        memset(p + i * y->ld * e, 0, (size_t)y->c * e);
}

void map_zero_halo(const view *y, int n)
{
    size_t halo = (size_t)y->halo, wide = (size_t)y->w + 2 * halo, h = (size_t)y->h;
    size_t e = view_bytes(y), row = y->row * e;
    for (size_t i = 0; i < (size_t)n; i++) {
        char *corner = view_pixel(y, i, 0, 0) - halo * (y->row + y->ld) * e;
        /* a step of two elements may read one beyond the last pixel */
        if (y->is_bf16 && y->ld % 2 != 0 && i + 1 == (size_t)n)
            memset(corner + (h + 2 * halo) * row, 0, e);
        for (size_t r = 0; r < halo; r++) {
            zero_pixels(corner + r * row, wide, y);
            zero_pixels(corner + (h + halo + r) * row, wide, y);
        }
        for (size_t r = halo; halo > 0 && r < h + halo; r++) {
            zero_pixels(corner + r * row, halo, y);
            zero_pixels(corner + r * row + (halo + (size_t)y->w) * y->ld * e, halo, y);
        }
    }
}

/* ---- maps --------------------------------------------------------------------------------------- */

void map_scale_shift(const view *x, const float *scale, const float *shift, activation act,
                     const view *y, int n)
{
    runs r = runs_of(x, NULL, y, n);
    EACH_RUN(r)
        LINE_OF(y, scale, view_pixel(x, i, oy, 0), x->ld, view_pixel(y, i, oy, 0), y->ld, r.pixels,
                (size_t)y->c, scale, shift, activation_low(act), activation_high(act));
}

/* A curve on one run of elements, whose widened copies stay in the first cache. */
static void curve_elements(const view *v, activation act, char *p, size_t count)
{
    float t[512];
    const size_t most = sizeof t / sizeof *t;
    if (!v->is_bf16) {
        curve_apply(act, (float *)(void *)p, count);
        return;
    }
    for (size_t k = 0; k < count; k += most) {
        size_t part = count - k < most ? count - k : most;
        line_widen_bf16(p + k * sizeof(bf16), t, part);
        curve_apply(act, t, part);
        line_narrow_bf16(t, p + k * sizeof(bf16), part);
    }
}

static void row_curve(const view *y, activation act, char *p, size_t pixels)
{
    if (y->ld == (size_t)y->c) {
        curve_elements(y, act, p, pixels * y->ld);
        return;
    }
    for (size_t k = 0; k < pixels; k++)
        curve_elements(y, act, p + k * y->ld * view_bytes(y), (size_t)y->c);
}

void map_activate(const view *x, activation act, const view *y, int n)
{
    int is_curve = act >= ACT_GELU;
    for (size_t i = 0; i < (size_t)n; i++) /* row by row: a curve finds its own in the cache */
        for (size_t oy = 0; oy < (size_t)y->h; oy++) {
            char *to = view_pixel(y, i, oy, 0);
            if (x->p != y->p || !is_curve)
                LINE_OF(y, bound, view_pixel(x, i, oy, 0), x->ld, to, y->ld, (size_t)y->w,
                        (size_t)y->c, activation_low(act), activation_high(act));
            if (is_curve) row_curve(y, act, to, (size_t)y->w);
        }
}

void map_add(const view *a, const view *b, activation act, const view *y, int n)
{
    runs r = runs_of(a, b, y, n);
    EACH_RUN(r)
        LINE_OF(y, add, view_pixel(a, i, oy, 0), a->ld, view_pixel(y, i, oy, 0), y->ld, r.pixels,
                (size_t)y->c, view_pixel(b, i, oy, 0), b->ld, activation_low(act),
                activation_high(act));
}

void map_gate(const view *x, const view *v, const view *y, int n)
{
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t oy = 0; oy < (size_t)y->h; oy++)
            LINE_OF(y, gate, view_pixel(x, i, oy, 0), x->ld, view_pixel(y, i, oy, 0), y->ld,
                    (size_t)y->w, (size_t)y->c,
                    (const float *)(const void *)view_pixel(v, i, 0, 0));
}

void map_copy(const view *x, const view *y, int n)
{
    size_t c = (size_t)x->c;
    EACH_PIXEL(x, n)
    {
        const char *from = view_pixel(x, i, oy, ox);
        char *to = view_pixel(y, i, oy, ox);
        if (x->is_bf16 == y->is_bf16) memcpy(to, from, c * view_bytes(x));
        else if (x->is_bf16) line_widen_bf16(from, (float *)(void *)to, c);
        else line_narrow_bf16((const float *)(const void *)from, to, c);
    }
}

void map_slice(const view *x, int first, const view *y, int n)
{
    view part = *x;
    part.c = y->c;
    part.p = (char *)x->p + (size_t)first * view_bytes(x);
    map_copy(&part, y, n);
}

void map_fit(const view *x, const view *y, int n)
{
    view part = *x;
    part.h = x->h < y->h ? x->h : y->h;
    part.w = x->w < y->w ? x->w : y->w;
    map_copy(&part, y, n);
    for (size_t i = 0; i < (size_t)n; i++)
        for (int oy = 0; oy < y->h; oy++) {
            int from = oy < x->h ? part.w : 0;
            if (from < y->w)
                zero_pixels(view_pixel(y, i, (size_t)oy, (size_t)from), (size_t)(y->w - from), y);
        }
}

/* ---- pools -------------------------------------------------------------------------------------- */

typedef struct window { /* the part that lies inside the map */
    size_t y0, x0, h, w;
    int clipped;
} window;

static window window_at(const view *x, int kernel, int y0, int x0)
{
    int y1 = y0 + kernel < x->h ? y0 + kernel : x->h, x1 = x0 + kernel < x->w ? x0 + kernel : x->w;
    int top = y0 < 0 ? 0 : y0, left = x0 < 0 ? 0 : x0;
    return (window){ (size_t)top, (size_t)left, (size_t)(y1 - top), (size_t)(x1 - left),
                     (y1 - top) * (x1 - left) < kernel * kernel };
}

void map_maxpool(const view *x, int kernel, int stride, int pad, int zero_pad, const view *y, int n)
{
    size_t c = (size_t)y->c;
    EACH_PIXEL(y, n)
    {
        window v = window_at(x, kernel, (int)oy * stride - pad, (int)ox * stride - pad);
        char *to = view_pixel(y, i, oy, ox);
        size_t first = v.clipped && zero_pad ? 0 : 1; /* taps that are copied */
        if (first == 0) memset(to, 0, c * view_bytes(y));
        else memcpy(to, view_pixel(x, i, v.y0, v.x0), c * view_bytes(y));
        for (size_t k = first; k < v.h * v.w; k++)
            LINE_OF(y, max, view_pixel(x, i, v.y0 + k / v.w, v.x0 + k % v.w), to, c);
    }
}

void map_avgpool(const view *x, int kernel, int stride, float *sum, const view *y, int n)
{
    size_t c = (size_t)y->c;
    EACH_PIXEL(y, n)
    {
        window v = window_at(x, kernel, (int)oy * stride, (int)ox * stride);
        memset(sum, 0, c * sizeof *sum);
        for (size_t k = 0; k < v.h; k++)
            LINE_OF(x, sum, view_pixel(x, i, v.y0 + k, v.x0), x->ld, v.w, c, sum);
        LINE_OF(y, times, sum, 1.0f / (float)(v.h * v.w), view_pixel(y, i, oy, ox), c);
    }
}

void map_gap(const view *x, float *sum, const view *y, int n)
{
    size_t c = (size_t)x->c;
    float each = 1.0f / (float)(x->h * x->w), *row = sum + c;
    for (size_t i = 0; i < (size_t)n; i++) {
        memset(sum, 0, c * sizeof *sum);
        for (size_t ky = 0; ky < (size_t)x->h; ky++) {
            memset(row, 0, c * sizeof *row);
            LINE_OF(x, sum, view_pixel(x, i, ky, 0), x->ld, (size_t)x->w, c, row);
            line_sum_f32(row, 0, 1, c, sum);
        }
        LINE_OF(y, times, sum, each, view_pixel(y, i, 0, 0), c);
    }
}

void map_shortcut_a(const view *x, const view *y, int n)
{
    size_t e = view_bytes(y), before = (size_t)(y->c - x->c) / 2 * e;
    EACH_PIXEL(y, n)
    {
        char *to = view_pixel(y, i, oy, ox);
        memset(to, 0, (size_t)y->c * e);
        memcpy(to + before, view_pixel(x, i, 2 * oy, 2 * ox), (size_t)x->c * e);
    }
}

/* ---- export -------------------------------------------------------------------------------------- */

enum { REDUCED = 64 }; /* channels of one walk over the map */

/* Channels [first, first + n), each in the order of the pixels. */
static void reduce_channels(const view *x, size_t i, size_t first, size_t n, reduction r, float *out)
{
    double sum[REDUCED] = { 0 }, each = r == REDUCE_MEAN ? (double)(x->h * x->w) : 1;
    float most[REDUCED];
    for (size_t k = 0; k < n; k++)
        most[k] = -INFINITY;
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++) {
            const char *at = view_pixel(x, i, ky, kx);
            for (size_t k = 0; k < n; k++) {
                float v = get(x, at, first + k);
                sum[k] += (double)v;
                if (v > most[k] || v != v) most[k] = v;
            }
        }
    for (size_t k = 0; k < n; k++)
        out[first + k] = r == REDUCE_MAX ? most[k] : (float)(sum[k] / each);
}

/* [h,w,c]: the order in memory. */
static void export_pixels(const view *x, int i, float *out)
{
    size_t c = (size_t)x->c;
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++, out += c)
            LINE_OF(x, widen, view_pixel(x, (size_t)i, ky, kx), out, c);
}

static void export_planes(const view *x, int i, float *out)
{
    size_t area = (size_t)x->h * (size_t)x->w, c = (size_t)x->c;
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++, out++) {
            const char *from = view_pixel(x, (size_t)i, ky, kx);
            for (size_t k = 0; k < c; k++)
                out[k * area] = get(x, from, k);
        }
}

void map_export(const view *x, int i, reduction r, tap_layout order, float *out)
{
    size_t c = (size_t)x->c;
    if (r != REDUCE_NONE)
        for (size_t k = 0; k < c; k += REDUCED)
            reduce_channels(x, (size_t)i, k, c - k < REDUCED ? c - k : REDUCED, r, out);
    else if (order == TAP_CHW) export_planes(x, i, out);
    else export_pixels(x, i, out);
}
