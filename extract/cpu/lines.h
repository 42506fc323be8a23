/* Rows of pixels: what the ops on maps do along one row, f32 or bf16 elements, in plain loops that the
 * compiler vectorises; one clone per instruction set, chosen by the loader.  Nothing is contracted and
 * sums have a fixed order of lanes, so all clones give the same bits.
 *
 * A row is `w` pixels of `c` channels, x_ld (y_ld) elements apart; y may be x where a value depends on
 * nothing but its own place.  Arithmetic is in f32 whatever the elements are. */
#ifndef OUTPOST_LINES_H
#define OUTPOST_LINES_H

#include "extract/cpu/view.h"

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

/* One prototype per element type; `const void *` are elements, `const float *` are parameters. */
#define LINE(name, ...)                                                                            \
    void line_##name##_f32(__VA_ARGS__);                                                           \
    void line_##name##_bf16(__VA_ARGS__)
#define ROW_XY const void *x, size_t x_ld, void *y, size_t y_ld, size_t w, size_t c

/* y = bounded(x s[c] + t[c]); a NaN stays. */
LINE(scale, ROW_XY, const float *s, const float *t, float low, float high);
/* y = bounded((x - m[c]) s[c] + t[c]) */
LINE(norm, ROW_XY, const float *m, const float *s, const float *t, float low, float high);
/* y = x s[c] */
LINE(gate, ROW_XY, const float *s);
/* y = x + t[w,c], a table of its own for every pixel */
LINE(plus, ROW_XY, const float *t);
LINE(bound, ROW_XY, float low, float high);
/* y = bounded(x + z) */
LINE(add, ROW_XY, const void *z, size_t z_ld, float low, float high);
/* y = (x - mean) / sqrt(var + eps) gamma + beta over the channels of each pixel, two passes; t holds
 * c floats. */
LINE(layernorm, ROW_XY, const float *gamma, const float *beta, float eps, float *t);
/* y = x, 0 where at <= 0 or at >= high (inf: no bound) */
LINE(mask, ROW_XY, const void *at, size_t at_ld, float high);
/* y = x f[c] + (z - m[c]) s[c] + t[c] + r; r may be NULL */
LINE(norm_back, ROW_XY, const void *z, size_t z_ld, const float *f, const float *m, const float *s,
     const float *t, const void *r, size_t r_ld);
/* The gradient x of layernorm to its input z, + r, which may be NULL; t holds 2 c floats. */
LINE(layernorm_back, ROW_XY, const void *z, size_t z_ld, const float *gamma, float eps, const void *r,
     size_t r_ld, float *t);

/* ---- one pixel or sums ---- */
/* y = max(x, y); NaN wins. */
LINE(max, const void *x, void *y, size_t c);
/* y = x f */
LINE(times, const float *x, float f, void *y, size_t c);
/* sum[c] += the pixels of the row */
LINE(sum, const void *x, size_t x_ld, size_t w, size_t c, float *sum);
/* d[c] += x - m[c] and d2[c] += (x - m[c])^2 over the pixels of the row */
LINE(moments, const void *x, size_t x_ld, size_t w, size_t c, const float *m, float *d, float *d2);
/* a[c] += x and b[c] += x (z - m[c]) over the pixels of the row */
LINE(pull, const void *x, size_t x_ld, const void *z, size_t z_ld, size_t w, size_t c, const float *m, float *a,
     float *b);
/* y[k step + i] = x[i x_ld + k] for w pixels i and c channels k */
LINE(deal, const void *x, size_t x_ld, void *y, size_t step, size_t w, size_t c);
/* sum[c] += x z over the pixels of the row */
LINE(products, const void *x, size_t x_ld, const void *z, size_t z_ld, size_t w, size_t c, float *sum);
/* sum[k] += x[k] f;  sum[k] += x[k step] */
LINE(more, const void *x, float f, float *sum, size_t c);
LINE(gather, const void *x, size_t step, float *sum, size_t c);
/* Where x > most or x is NaN: most = x and tap = t. */
LINE(most, const void *x, int t, float *most, int32_t *tap, size_t c);
/* sum += x where tap = t */
LINE(pick, const void *x, int t, const int32_t *tap, float *sum, size_t c);
/* elements <-> floats */
LINE(widen, const void *x, float *y, size_t c);
LINE(narrow, const float *x, void *y, size_t c);

/* A row of n unnormalised probabilities e, whose sum is 1 / inverse, and the gradients d of the probabilities:
 * e = p and d = scale p (d - sum p d). */
void line_softmax_back(float *e, float *d, size_t n, float inverse, float scale);

/* Calls the line function of the view's element type. */
#define LINE_OF(v, name, ...)                                                                      \
    do {                                                                                           \
        if ((v)->is_bf16) line_##name##_bf16(__VA_ARGS__);                                         \
        else line_##name##_f32(__VA_ARGS__);                                                       \
    } while (0)

static inline char *view_pixel(const view *v, size_t i, size_t y, size_t x)
{
    return (char *)v->p + (i * v->image + y * v->row + x * v->ld) * view_bytes(v);
}

#endif
