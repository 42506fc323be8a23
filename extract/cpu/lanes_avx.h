/* Across the lanes of AVX vectors: maxima and sums, always of halves; squares turned over. */
#ifndef OUTPOST_LANES_AVX_H
#define OUTPOST_LANES_AVX_H

#include <immintrin.h>

static inline float highest_of_8(__m256 v)
{
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

static inline float total_of_8(__m256 v)
{
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

enum { TURN = 8 };

/* Words k .. k + 7 of eight rows to columns of `width` words: to[j][i] = x[i][k + j]. */
static void turn(const char *const *x, size_t k, char *to, size_t width)
{
    __m256 r[8], s[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps((const void *)(x[i] + 4 * k));
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) { /* rows i, i + 1: words 0 1 4 5, then 2 3 6 7 */
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) { /* rows i .. i + 3: words j and j + 4 */
        r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        _mm256_storeu_ps((void *)(to + 4 * j * width), _mm256_permute2f128_ps(r[j], r[j + 4], 0x20));
        _mm256_storeu_ps((void *)(to + 4 * (j + 4) * width),
                         _mm256_permute2f128_ps(r[j], r[j + 4], 0x31));
    }
}

#endif
