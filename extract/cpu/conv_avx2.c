#include <immintrin.h>

#define LANES 8
#define ROWS 6
typedef __m256 vec;
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define SET1(f) _mm256_set1_ps(f)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MAX(a, b) _mm256_max_ps(b, a) /* the second source is returned for a NaN */
#define MIN(a, b) _mm256_min_ps(b, a)
#define MADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ROUND(v) _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define EXPONENT(p, n, u)                                                                          \
    _mm256_andnot_ps(_mm256_cmp_ps(u, SET1(-125.0f), _CMP_LT_OQ),                                  \
                     _mm256_castsi256_ps(_mm256_add_epi32(                                         \
                         _mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23))))
#define BY_SIGN(x, minus, plus) _mm256_blendv_ps(plus, minus, x)
#define ABOVE(x, low, v) _mm256_and_ps(_mm256_cmp_ps(x, low, _CMP_NLE_UQ), v)
#define BELOW(x, high, v) _mm256_and_ps(_mm256_cmp_ps(x, high, _CMP_NGE_UQ), v)
#include "extract/cpu/lanes_avx.h"
#define HIGHEST(v) highest_of_8(v)
#define TOTAL(v) total_of_8(v)
#include "extract/cpu/conv_tile_f32.h"

const conv_kernel conv_kernel_avx2 = {
    .name = "avx2 f32", .rounding = "fma f32", .lanes = LANES, .tile_rows = ROWS, .unit = UNIT,
    .is_bf16 = 0, .turn_side = TURN, .tile = tile, .depthwise = depthwise, .curve = curve_line, .slope = slope_line,
    .softmax = softmax, .quotients = quotients, .powers = powers, .gather = gather, .turn = turn,
};
