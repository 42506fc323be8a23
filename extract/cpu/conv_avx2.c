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
#include "extract/cpu/conv_tile_f32.h"

const conv_kernel conv_kernel_avx2 = { "avx2 f32", "fma f32", LANES, ROWS, UNIT,
                                       0, tile, depthwise };
