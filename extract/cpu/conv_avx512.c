#include <immintrin.h>

#define LANES 16
#define ROWS 14
typedef __m512 vec;
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SET1(f) _mm512_set1_ps(f)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define MAX(a, b) _mm512_max_ps(b, a) /* the second source is returned for a NaN */
#define MIN(a, b) _mm512_min_ps(b, a)
#define MADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "extract/cpu/curve_avx512.h"
#include "extract/cpu/conv_tile_f32.h"

const conv_kernel conv_kernel_avx512 = {
    .name = "avx512 f32", .rounding = "fma f32", .lanes = LANES, .tile_rows = ROWS, .unit = UNIT,
    .is_bf16 = 0, .turn_side = TURN, .tile = tile, .depthwise = depthwise, .curve = curve_line, .slope = slope_line,
    .softmax = softmax, .quotients = quotients, .powers = powers, .gather = gather, .turn = turn,
};
