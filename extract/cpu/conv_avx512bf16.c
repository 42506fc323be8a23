/* bf16 elements, two a step: acc += x[2k] w[2k] + x[2k+1] w[2k+1] in f32. */
#include <immintrin.h>
#include <string.h>

#define LANES 16
#define ROWS 14
typedef __m512 vec;
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SET1(f) _mm512_set1_ps(f)
#define ADD(a, b) _mm512_add_ps(a, b)
#define MAX(a, b) _mm512_max_ps(b, a) /* the second source is returned for a NaN */
#define MIN(a, b) _mm512_min_ps(b, a)
#define UNIT 2
#define ELEMENT unsigned short
typedef __m512 operand;
static inline float two(const char *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}
#define WEIGHTS(p) _mm512_loadu_ps(p)
#define SPREAD(p) _mm512_set1_ps(two(p))
#define FMA(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
#define FROM_ELEMENTS(p)                                                                           \
    _mm512_castsi512_ps(_mm512_slli_epi32(                                                         \
        _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p))), 16))
#define TO_ELEMENTS(p, v)                                                                          \
    _mm256_storeu_si256((__m256i *)(void *)(p), (__m256i)_mm512_cvtneps_pbh(v))
#define MADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "extract/cpu/curve_avx512.h"
#include "extract/cpu/conv_tile.h"

const conv_kernel conv_kernel_avx512bf16 = {
    .name = "avx512 bf16", .rounding = "avx512 bf16", .lanes = LANES, .tile_rows = ROWS, .unit = UNIT,
    .is_bf16 = 1, .turn_side = TURN, .tile = tile, .depthwise = depthwise, .curve = curve_line, .slope = slope_line,
    .softmax = softmax, .quotients = quotients, .powers = powers, .gather = gather, .turn = turn,
};
