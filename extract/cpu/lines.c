#include "extract/cpu/lines_fast.h"

#include <math.h>
#include <string.h>

/* Sums over channels run in 16 lanes, whatever the registers hold. */
enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(64)));
typedef uint32_t lanes_u32 __attribute__((vector_size(64)));
#define EVEN ((lanes_u32){ 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30 })
#define ZIP ((lanes_u32){ 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23 })

static inline float bounded(float v, float low, float high)
{
    v = v < low ? low : v; /* not of a NaN */
    return v > high ? high : v;
}

/* In a fixed order. */
static inline float sum_lanes(const lanes *v)
{
    float t[LANES];
    memcpy(t, v, sizeof t);
    for (int i = 0; i < 8; i++)
        t[i] += t[i + 8];
    for (int i = 0; i < 4; i++)
        t[i] += t[i + 4];
    return (t[0] + t[2]) + (t[1] + t[3]);
}

/* A pixel as floats: itself, or widened into t. */
static inline const float *line_floats_f32(const float *x, const float *t, size_t c)
{
    (void)t;
    (void)c;
    return x;
}

static inline __attribute__((always_inline)) const float *line_floats_bf16(const bf16 *x, float *t,
                                                                           size_t c)
{
#pragma GCC ivdep
    for (size_t k = 0; k < c; k++)
        t[k] = bf16_to_float(x[k]);
    return t;
}

CLONES void line_softmax_back(float *e, float *d, size_t n, float inverse, float scale)
{
    float *restrict p = e, *restrict g = d;
    const size_t whole = n / LANES * LANES;
    lanes sum = { 0 }, u, v;
    float rest = 0;
    for (size_t j = 0; j < whole; j += LANES) {
        memcpy(&u, p + j, sizeof u);
        memcpy(&v, g + j, sizeof v);
        u *= inverse;
        memcpy(p + j, &u, sizeof u);
        sum += u * v;
    }
    for (size_t j = whole; j < n; j++) {
        p[j] *= inverse;
        rest += p[j] * g[j];
    }
    rest = sum_lanes(&sum) + rest;
    for (size_t j = 0; j < n; j++)
        g[j] = scale * p[j] * (g[j] - rest);
}

#define NAME(name) line_##name##_f32
#define PLAIN(name) line_##name##_f32
#define ELEMENT float
#define GET(v) (v)
#define PUT(v) (v)
#define GET_TWO(a, b, p)                                                                           \
    do {                                                                                           \
        memcpy(&(a), p, sizeof(a));                                                                \
        memcpy(&(b), (p) + LANES, sizeof(b));                                                      \
    } while (0)
#define DEAL_TWO(a, b, p) GET_TWO(a, b, p)
#define JOIN_TWO(p, a, b)                                                                          \
    do {                                                                                           \
        memcpy(p, &(a), sizeof(a));                                                                \
        memcpy((p) + LANES, &(b), sizeof(b));                                                      \
    } while (0)
#include "extract/cpu/lines.inc"
#undef NAME
#undef PLAIN
#undef ELEMENT
#undef GET
#undef PUT
#undef GET_TWO
#undef DEAL_TWO
#undef JOIN_TWO

#define NAME(name) line_##name##_bf16
#define PLAIN(name) line_##name##_plain
#define ELEMENT bf16
#define GET(v) bf16_to_float(v)
#define PUT(v) bf16_from_float(v)
/* Even elements and odd ones, which costs no shuffle; parameters are dealt alike. */
#define GET_TWO(a, b, p)                                                                           \
    do {                                                                                           \
        lanes_u32 pairs_, even_, odd_;                                                             \
        memcpy(&pairs_, p, sizeof pairs_);                                                         \
        even_ = pairs_ << 16;                                                                      \
        odd_ = pairs_ & 0xffff0000u;                                                               \
        memcpy(&(a), &even_, sizeof(a));                                                           \
        memcpy(&(b), &odd_, sizeof(b));                                                            \
    } while (0)
#define DEAL_TWO(a, b, p)                                                                          \
    do {                                                                                           \
        lanes first_, second_;                                                                     \
        memcpy(&first_, p, sizeof first_);                                                         \
        memcpy(&second_, (p) + LANES, sizeof second_);                                             \
        (a) = __builtin_shuffle(first_, second_, EVEN);                                            \
        (b) = __builtin_shuffle(first_, second_, EVEN + 1);                                        \
    } while (0)
#define JOIN_TWO(p, a, b)                                                                          \
    do {                                                                                           \
        const lanes first_ = __builtin_shuffle(a, b, ZIP);                                         \
        const lanes second_ = __builtin_shuffle(a, b, ZIP + 8);                                    \
        memcpy(p, &first_, sizeof first_);                                                         \
        memcpy((p) + LANES, &second_, sizeof second_);                                             \
    } while (0)
#include "extract/cpu/lines.inc"

/* ---- the faster twins ---------------------------------------------------------------------------- */

static inline int is_fast(void)
{
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#define PICK(name) (is_fast() ? line_##name##_fast : line_##name##_plain)
#define ROW x, x_ld, y, y_ld, w, c

void line_scale_bf16(ROW_XY, const float *s, const float *t, float low, float high)
{
    PICK(scale)(ROW, s, t, low, high);
}

void line_norm_bf16(ROW_XY, const float *m, const float *s, const float *t, float low, float high)
{
    PICK(norm)(ROW, m, s, t, low, high);
}

void line_gate_bf16(ROW_XY, const float *s)
{
    PICK(gate)(ROW, s);
}

void line_plus_bf16(ROW_XY, const float *t)
{
    PICK(plus)(ROW, t);
}

void line_bound_bf16(ROW_XY, float low, float high)
{
    PICK(bound)(ROW, low, high);
}

void line_add_bf16(ROW_XY, const void *z, size_t z_ld, float low, float high)
{
    PICK(add)(ROW, z, z_ld, low, high);
}

void line_layernorm_bf16(ROW_XY, const float *gamma, const float *beta, float eps, float *t)
{
    PICK(layernorm)(ROW, gamma, beta, eps, t);
}

void line_narrow_bf16(const float *x, void *y, size_t c)
{
    PICK(narrow)(x, y, c);
}
