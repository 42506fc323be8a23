#include "extract/cpu/maps.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

static inline char *pixel(const view *v, size_t i, size_t y, size_t x)
{
    return (char *)v->p + (i * v->image + y * v->row + x * v->ld) * view_bytes(v);
}

/* relu(NaN) is NaN, as in torch. */
static inline float activate(float v, activation act)
{
    if (act != ACT_NONE) v = v < 0.0f ? 0.0f : v;
    if (act == ACT_RELU6) v = v > 6.0f ? 6.0f : v;
    return v;
}

#define ELEMENT float
#define LINE_(name) line_##name##_f32
#define GET(v) (v)
#define PUT(v) (v)
#include "extract/cpu/lines.inc"
#undef ELEMENT
#undef LINE_
#undef GET
#undef PUT
#define ELEMENT bf16
#define LINE_(name) line_##name##_bf16
#define GET(v) bf16_to_float(v)
#define PUT(v) bf16_from_float(v)
#include "extract/cpu/lines.inc"

/* Calls the line function of the view's element type. */
#define LINE_OF(v, name, ...)                                                                      \
    do {                                                                                           \
        if ((v)->is_bf16) line_##name##_bf16(__VA_ARGS__);                                         \
        else line_##name##_f32(__VA_ARGS__);                                                       \
    } while (0)

#define EACH_PIXEL(v, n)                                                                           \
    for (size_t i = 0; i < (size_t)(n); i++)                                                       \
        for (size_t oy = 0; oy < (size_t)(v)->h; oy++)                                             \
            for (size_t ox = 0; ox < (size_t)(v)->w; ox++)

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
        char *to = pixel(y, i, oy, ox);
        for (size_t c = 0; c < 3; c++)
            put(y, to, c, table[c][from[c]]);
    }
}

void map_import(const float *chw, size_t per, const view *y, int n)
{
    size_t area = (size_t)y->h * (size_t)y->w;
    EACH_PIXEL(y, n)
        for (size_t c = 0; c < (size_t)y->c; c++)
            put(y, pixel(y, i, oy, ox), c, chw[i * per + c * area + oy * (size_t)y->w + ox]);
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
        char *corner = pixel(y, i, 0, 0) - halo * (y->row + y->ld) * e;
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
    EACH_PIXEL(y, n)
        LINE_OF(y, scale, (void *)pixel(x, i, oy, ox), scale, shift, act,
                (void *)pixel(y, i, oy, ox), (size_t)y->c);
}

void map_activate(const view *x, activation act, const view *y, int n)
{
    EACH_PIXEL(y, n)
        LINE_OF(y, act, (void *)pixel(x, i, oy, ox), act, (void *)pixel(y, i, oy, ox),
                (size_t)y->c);
}

void map_add(const view *a, const view *b, activation act, const view *y, int n)
{
    EACH_PIXEL(y, n)
        LINE_OF(y, add, (void *)pixel(a, i, oy, ox), (void *)pixel(b, i, oy, ox), act,
                (void *)pixel(y, i, oy, ox), (size_t)y->c);
}

void map_copy(const view *x, const view *y, int n)
{
    EACH_PIXEL(x, n)
        memcpy(pixel(y, i, oy, ox), pixel(x, i, oy, ox), (size_t)x->c * view_bytes(x));
}

void map_maxpool(const view *x, int kernel, int stride, int pad, const view *y, int n)
{
    EACH_PIXEL(y, n)
    {
        int y0 = (int)oy * stride - pad, x0 = (int)ox * stride - pad;
        char *to = pixel(y, i, oy, ox);
        int first = 1;
        for (int ky = y0 < 0 ? 0 : y0; ky < y0 + kernel && ky < x->h; ky++)
            for (int kx = x0 < 0 ? 0 : x0; kx < x0 + kernel && kx < x->w; kx++) {
                const char *from = pixel(x, i, (size_t)ky, (size_t)kx);
                if (first) memcpy(to, from, (size_t)y->c * view_bytes(y));
                else LINE_OF(y, max, (const void *)from, (void *)to, (size_t)y->c);
                first = 0;
            }
    }
}

/* Sums a window of x into `sum` [c]. */
static void sum_window(const view *x, size_t i, size_t y0, size_t x0, size_t h, size_t w, float *sum)
{
    memset(sum, 0, (size_t)x->c * sizeof *sum);
    for (size_t ky = y0; ky < y0 + h; ky++)
        for (size_t kx = x0; kx < x0 + w; kx++)
            LINE_OF(x, sum, (void *)pixel(x, i, ky, kx), sum, (size_t)x->c);
}

void map_avgpool(const view *x, int kernel, int stride, float *sum, const view *y, int n)
{
    float each = 1.0f / (float)(kernel * kernel);
    size_t k = (size_t)kernel, s = (size_t)stride;
    EACH_PIXEL(y, n)
    {
        sum_window(x, i, oy * s, ox * s, k, k, sum);
        LINE_OF(y, times, sum, each, (void *)pixel(y, i, oy, ox), (size_t)y->c);
    }
}

void map_gap(const view *x, float *sum, const view *y, int n)
{
    float each = 1.0f / (float)(x->h * x->w);
    for (size_t i = 0; i < (size_t)n; i++) {
        sum_window(x, i, 0, 0, (size_t)x->h, (size_t)x->w, sum);
        LINE_OF(y, times, sum, each, (void *)pixel(y, i, 0, 0), (size_t)y->c);
    }
}

void map_shortcut_a(const view *x, const view *y, int n)
{
    size_t e = view_bytes(y), before = (size_t)(y->c - x->c) / 2 * e;
    EACH_PIXEL(y, n)
    {
        char *to = pixel(y, i, oy, ox);
        memset(to, 0, (size_t)y->c * e);
        memcpy(to + before, pixel(x, i, 2 * oy, 2 * ox), (size_t)x->c * e);
    }
}

/* ---- export -------------------------------------------------------------------------------------- */

static float reduce_channel(const view *x, size_t i, size_t c, reduction r)
{
    double sum = 0;
    float most = -INFINITY;
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++) {
            float v = get(x, pixel(x, i, ky, kx), c);
            sum += (double)v;
            if (v > most || v != v) most = v;
        }
    if (r == REDUCE_MAX) return most;
    return (float)(r == REDUCE_MEAN ? sum / (double)(x->h * x->w) : sum);
}

void map_export(const view *x, int i, reduction r, float *out)
{
    size_t area = (size_t)x->h * (size_t)x->w, c = (size_t)x->c;
    for (size_t k = 0; r != REDUCE_NONE && k < c; k++)
        out[k] = reduce_channel(x, (size_t)i, k, r);
    if (r != REDUCE_NONE) return;
    for (size_t ky = 0; ky < (size_t)x->h; ky++)
        for (size_t kx = 0; kx < (size_t)x->w; kx++) {
            const char *from = pixel(x, (size_t)i, ky, kx);
            for (size_t k = 0; k < c; k++)
                out[k * area + ky * (size_t)x->w + kx] = get(x, from, k);
        }
}
