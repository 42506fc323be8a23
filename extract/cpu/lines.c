#include "extract/cpu/lines.h"

#include <math.h>
#include <string.h>

/* Sums over channels run in 16 lanes, whatever the registers hold. */
enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(64)));
typedef uint32_t lanes_u32 __attribute__((vector_size(64)));
typedef uint16_t lanes_u16 __attribute__((vector_size(32)));

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

static inline __attribute__((always_inline)) const float *line_floats_bf16(const bf16 *x, float *t, size_t c)
{
#pragma GCC ivdep
    for (size_t k = 0; k < c; k++)
        t[k] = bf16_to_float(x[k]);
    return t;
}

#define NAME(name) line_##name##_f32
#define ELEMENT float
#define GET(v) (v)
#define PUT(v) (v)
#define GET_LANES(v, p) memcpy(&(v), p, sizeof(v))
#include "extract/cpu/lines.inc"
#undef NAME
#undef ELEMENT
#undef GET
#undef PUT
#undef GET_LANES

#define NAME(name) line_##name##_bf16
#define ELEMENT bf16
#define GET(v) bf16_to_float(v)
#define PUT(v) bf16_from_float(v)
#define GET_LANES(v, p)                                                                            \
    do {                                                                                           \
        lanes_u16 half_;                                                                           \
        lanes_u32 wide_;                                                                           \
        memcpy(&half_, p, sizeof half_);                                                           \
        wide_ = __builtin_convertvector(half_, lanes_u32) << 16;                                   \
        memcpy(&(v), &wide_, sizeof(v));                                                           \
    } while (0)
#include "extract/cpu/lines.inc"
