/* Template of one instruction set's tile kernel; included once by each conv_<isa>.c, which defines
 *   LANES ROWS UNIT ELEMENT   channels of a vector, most pixels, elements of a step, element type
 *   vec, operand              f32 vector; what FMA multiplies
 *   LOAD STORE SET1 ADD MADD MAX MIN       on f32 vectors
 *   ROUND EXPONENT BY_SIGN ABOVE BELOW HIGHEST TOTAL   likewise; see curve_math.h, softmax_tile.h
 *   WEIGHTS SPREAD FMA                     a vector of weights; UNIT elements of a pixel to all lanes
 *   FROM_ELEMENTS TO_ELEMENTS              LANES elements of the map <-> f32
 * acc[pixel][vector] += x[pixel][k] * w[k][vector], k through the segments in order. */
#include "extract/cpu/conv.h"

#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))
#include "extract/cpu/curve_math.h"

/* Activations are bounds: none -inf..inf, ReLU 0..inf, ReLU6 0..6.  MAX and MIN keep a NaN of their
 * first operand. */
ALWAYS vec bounded(vec v, vec low, vec high)
{
    return MIN(MAX(v, low), high);
}

/* Partly filled vectors go through a small buffer. */
ALWAYS vec load_part(const char *p, int n)
{
    ELEMENT t[LANES] = { 0 };
    memcpy(t, p, (size_t)n * sizeof *t);
    return FROM_ELEMENTS(t);
}

ALWAYS void store_part(char *p, vec v, int n)
{
    ELEMENT t[LANES];
    TO_ELEMENTS(t, v);
    memcpy(p, t, (size_t)n * sizeof *t);
}

/* Any number of columns, from sums in memory. */
ALWAYS void finish(const float *t, const int vectors, const conv_tile *at, const conv_tile_args *a)
{
    const vec low = SET1(a->low), high = SET1(a->high);
    for (int i = 0; i < at->pixels; i++)
        for (int v = 0; v < vectors; v++, t += LANES) {
            int part = a->columns - v * LANES;
            size_t shift = (size_t)(v * LANES) * sizeof(ELEMENT);
            char *y = at->y + (size_t)i * a->y_step + shift;
            const char *r = at->r + (size_t)i * a->r_step + shift;
            vec sum = LOAD(t);
            if (part <= 0) continue;
            if (at->r != NULL)
                sum = ADD(sum, part >= LANES ? FROM_ELEMENTS((const void *)r) : load_part(r, part));
            sum = bounded(sum, low, high);
            if (part >= LANES) TO_ELEMENTS((void *)y, sum);
            else store_part(y, sum, part);
        }
}

ALWAYS void put_curved(const float *t, const int vectors, const conv_tile *at,
                       const conv_tile_args *a, const activation curve)
{
    for (int i = 0; i < at->pixels; i++)
        for (int v = 0; v < vectors; v++, t += LANES) {
            char *y = at->y + (size_t)i * a->y_step + (size_t)(v * LANES) * sizeof(ELEMENT);
            TO_ELEMENTS((void *)y, curved(LOAD(t), curve));
        }
}

/* Curves, out of line: one copy for all tiles.  The plan never adds a residual before a curve. */
static __attribute__((noinline)) void finish_curve(float *t, const int vectors, const conv_tile *at,
                                                   const conv_tile_args *a)
{
    if (a->columns < vectors * LANES) {
        curve_line(a->curve, t, (size_t)(at->pixels * vectors * LANES));
        finish(t, vectors, at, a);
    } else if (a->curve == ACT_GELU) put_curved(t, vectors, at, a, ACT_GELU);
    else if (a->curve == ACT_SILU) put_curved(t, vectors, at, a, ACT_SILU);
    else put_curved(t, vectors, at, a, ACT_SIGMOID);
}

/* Gradients: times a derivative, with the sum before it or behind it. */
ALWAYS void put_gated(const float *t, const int vectors, const conv_tile *at, const conv_tile_args *a,
                      const graph_op gate)
{
    for (int i = 0; i < at->pixels; i++)
        for (int v = 0; v < vectors; v++, t += LANES) {
            const int part = a->columns - v * LANES;
            const size_t shift = (size_t)(v * LANES) * sizeof(ELEMENT);
            char *y = at->y + (size_t)i * a->y_step + shift;
            const char *g = at->g + (size_t)i * a->g_step + shift;
            vec sum = LOAD(t), r = SET1(0.0f);
            if (part <= 0) continue;
            if (at->r != NULL) {
                const char *from = at->r + (size_t)i * a->r_step + shift;
                r = part >= LANES ? FROM_ELEMENTS((const void *)from) : load_part(from, part);
                if (!a->after) sum = ADD(sum, r);
            }
            sum = sloped(sum, part >= LANES ? FROM_ELEMENTS((const void *)g) : load_part(g, part), gate);
            if (at->r != NULL && a->after) sum = ADD(sum, r);
            if (part >= LANES) TO_ELEMENTS((void *)y, sum);
            else store_part(y, sum, part);
        }
}

static __attribute__((noinline)) void finish_gated(const float *t, const int vectors, const conv_tile *at,
                                                   const conv_tile_args *a)
{
    if (a->gate == OP_relu_back) put_gated(t, vectors, at, a, OP_relu_back);
    else if (a->gate == OP_relu6_back) put_gated(t, vectors, at, a, OP_relu6_back);
    else if (a->gate == OP_gelu_back) put_gated(t, vectors, at, a, OP_gelu_back);
    else if (a->gate == OP_silu_back) put_gated(t, vectors, at, a, OP_silu_back);
    else put_gated(t, vectors, at, a, OP_sigmoid_back);
}

/* What finish() will touch comes near while the sum runs. */
ALWAYS void fetch_ahead(const int rows, const int vectors, const conv_tile *t,
                        const conv_tile_args *a)
{
    const size_t line = 64, width = (size_t)(vectors * LANES) * sizeof(ELEMENT);
    for (int i = 0; a->last && i < rows; i++)
        for (size_t at = 0; at < width; at += line) {
            __builtin_prefetch(t->y + (size_t)i * a->y_step + at, 1, 3);
            if (t->r != NULL) __builtin_prefetch(t->r + (size_t)i * a->r_step + at, 0, 3);
            if (t->g != NULL) __builtin_prefetch(t->g + (size_t)i * a->g_step + at, 0, 3);
        }
}

/* rows and vectors are constants at every call, so that acc is nothing but registers. */
ALWAYS void tile_of(const int rows, const int vectors, const conv_tile *t, const conv_tile_args *a)
{
    float own[ROWS * 2 * LANES] __attribute__((aligned(64)));
    float *sums = a->last ? own : t->sums;
    const size_t step = a->last ? (size_t)(vectors * LANES) : a->sum_step;
    vec acc[ROWS][CONV_PANEL_MAX];
    const ELEMENT *w = a->w;
    const size_t s = a->x_step;
    const float *start = a->first ? a->bias : t->sums;
    const size_t apart = a->first ? 0 : a->sum_step;
    fetch_ahead(rows, vectors, t, a);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[i][v] = LOAD(start + (size_t)i * apart + v * LANES);
    for (size_t g = 0; g < a->n_segments; g++) {
        const char *x[(ROWS + 3) / 4];
#pragma GCC unroll 4
        for (int i = 0; i < (rows + 3) / 4; i++)
            x[i] = t->x + a->segments[g].offset + 4 * (size_t)i * s;
        for (size_t k = a->segments[g].steps; k > 0; k--) {
            operand b[CONV_PANEL_MAX];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                b[v] = WEIGHTS(w + v * LANES * UNIT);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                operand one = SPREAD(x[i / 4] + (size_t)(i % 4) * s);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    acc[i][v] = FMA(one, b[v], acc[i][v]);
            }
            w += vectors * LANES * UNIT;
#pragma GCC unroll 4
            for (int i = 0; i < (rows + 3) / 4; i++)
                x[i] += UNIT * sizeof(ELEMENT);
        }
    }
    if (a->last && a->curve == ACT_NONE && t->g == NULL && a->columns == vectors * LANES) { /* whole vectors never leave the registers */
        const vec low = SET1(a->low), high = SET1(a->high);
        if (t->r != NULL) {
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) {
                    const char *r =
                        t->r + (size_t)i * a->r_step + (size_t)(v * LANES) * sizeof(ELEMENT);
                    acc[i][v] = ADD(acc[i][v], FROM_ELEMENTS((const void *)r));
                }
        }
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                char *y = t->y + (size_t)i * a->y_step + (size_t)(v * LANES) * sizeof(ELEMENT);
                TO_ELEMENTS((void *)y, bounded(acc[i][v], low, high));
            }
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            STORE(sums + (size_t)i * step + v * LANES, acc[i][v]);
    if (!a->last) return;
    if (t->g != NULL) finish_gated(sums, vectors, t, a);
    else if (a->curve != ACT_NONE) finish_curve(sums, vectors, t, a);
    else finish(sums, vectors, t, a);
}

#define CASE(rows, vectors)                                                                        \
    case rows: tile_of(rows, vectors, t, a); break;
#if ROWS == 14
#define ALL_ROWS(v)                                                                                \
    CASE(1, v) CASE(2, v) CASE(3, v) CASE(4, v) CASE(5, v) CASE(6, v) CASE(7, v) CASE(8, v)        \
    CASE(9, v) CASE(10, v) CASE(11, v) CASE(12, v) CASE(13, v) CASE(14, v)
#define HALF_ROWS(v)                                                                               \
    CASE(1, v) CASE(2, v) CASE(3, v) CASE(4, v) CASE(5, v) CASE(6, v) CASE(7, v)
#else
#define ALL_ROWS(v) CASE(1, v) CASE(2, v) CASE(3, v) CASE(4, v) CASE(5, v) CASE(6, v)
#define HALF_ROWS(v) CASE(1, v) CASE(2, v) CASE(3, v)
#endif

static void tile_1(const conv_tile *t, const conv_tile_args *a)
{
    switch (t->pixels) { ALL_ROWS(1) }
}

static void tile_2(const conv_tile *t, const conv_tile_args *a)
{
    switch (t->pixels) { ALL_ROWS(2) }
}

static void tile_4(const conv_tile *t, const conv_tile_args *a)
{
    switch (t->pixels) { HALF_ROWS(4) }
}

static void tile(int vectors, const conv_tile *t, const conv_tile_args *a)
{
    if (vectors == 1) tile_1(t, a);
    else if (vectors == 2) tile_2(t, a);
    else tile_4(t, a);
}

#include "extract/cpu/depthwise_tile.h"
#include "extract/cpu/softmax_tile.h"
