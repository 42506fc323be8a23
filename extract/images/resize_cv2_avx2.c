/* AVX2 twins of the rows of resize_cv2_plan.c; bounds in resize_cv2_parts.h. */
#include "extract/images/resize_cv2_parts.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

/* Of packed pixels: 16-bit pairs (R,R') (G,G') (B,B') (0,0) of two neighbouring taps. */
static inline __m256i pick(int first_tap)
{
    const char t = (char)(3 * first_tap);
    const __m128i one = _mm_setr_epi8(t, -1, (char)(t + 3), -1, (char)(t + 1), -1, (char)(t + 4),
                                      -1, (char)(t + 2), -1, (char)(t + 5), -1, -1, -1, -1, -1);
    return _mm256_broadcastsi128_si256(one);
}

/* Two pixels' weights, one pair each, to the four places of a pixel. */
static inline __m256i pairs_at(const int16_t *q, __m256i places)
{
    __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)q));
    return _mm256_permutevar8x32_epi32(v, places);
}

static inline __m256i load_8(const uint8_t *a, const uint8_t *b)
{
    __m256i v = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)a));
    return _mm256_inserti128_si256(v, _mm_loadl_epi64((const __m128i *)b), 1);
}

static inline __m256i load_16(const uint8_t *a, const uint8_t *b)
{
    __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a));
    return _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)b), 1);
}

/* Four pixels at a time; each store's fourth value is the next pixel's first, written after it. */
void cv2_across_linear_avx2(const cv2_columns *c, const uint8_t *src, int16_t *dst)
{
    const __m256i pick01 = pick(0);
    const __m256i first = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m256i second = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
    for (int i = 0; i < c->count; i += 4, dst += 12) {
        const int *lo = c->lo + i;
        const int16_t *q = c->q + 2 * (size_t)i;
        __m256i a = load_8(src + 3 * (size_t)lo[0], src + 3 * (size_t)lo[1]);
        __m256i b = load_8(src + 3 * (size_t)lo[2], src + 3 * (size_t)lo[3]);
        __m128i even, odd;
        a = _mm256_madd_epi16(_mm256_shuffle_epi8(a, pick01), pairs_at(q, first));
        b = _mm256_madd_epi16(_mm256_shuffle_epi8(b, pick01), pairs_at(q, second));
        a = _mm256_packs_epi32(_mm256_srai_epi32(a, 4), _mm256_srai_epi32(b, 4));
        even = _mm256_castsi256_si128(a); /* pixels 0 and 2 */
        odd = _mm256_extracti128_si256(a, 1);
        _mm_storel_epi64((__m128i *)dst, even);
        _mm_storel_epi64((__m128i *)(dst + 3), odd);
        _mm_storel_epi64((__m128i *)(dst + 6), _mm_unpackhi_epi64(even, even));
        _mm_storel_epi64((__m128i *)(dst + 9), _mm_unpackhi_epi64(odd, odd));
    }
}

void cv2_across_cubic_avx2(const cv2_columns *c, const uint8_t *src, int32_t *dst)
{
    const __m256i pick01 = pick(0), pick23 = pick(2);
    const __m256i pair01 = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
    const __m256i pair23 = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
    for (int i = 0; i < c->count; i += 2, dst += 6) {
        const int16_t *q = c->q + 4 * (size_t)i;
        __m256i v = load_16(src + 3 * (size_t)c->lo[i], src + 3 * (size_t)c->lo[i + 1]);
        __m256i a = _mm256_madd_epi16(_mm256_shuffle_epi8(v, pick01), pairs_at(q, pair01));
        __m256i b = _mm256_madd_epi16(_mm256_shuffle_epi8(v, pick23), pairs_at(q, pair23));
        a = _mm256_add_epi32(a, b);
        _mm_storeu_si128((__m128i *)dst, _mm256_castsi256_si128(a));
        _mm_storeu_si128((__m128i *)(dst + 3), _mm256_extracti128_si256(a, 1));
    }
}

/* ---- down ------------------------------------------------------------------------------------ */

static inline __m256i linear_16(const int16_t *h0, const int16_t *h1, __m256i b0, __m256i b1)
{
    __m256i v = _mm256_add_epi16(_mm256_mulhi_epi16(_mm256_loadu_si256((const __m256i *)h0), b0),
                                 _mm256_mulhi_epi16(_mm256_loadu_si256((const __m256i *)h1), b1));
    return _mm256_srai_epi16(_mm256_add_epi16(v, _mm256_set1_epi16(2)), 2);
}

static inline __m256i linear_32(const cv2_rows *r, size_t i, __m256i b0, __m256i b1)
{
    const int16_t *h0 = (const int16_t *)r->h[0] + i, *h1 = (const int16_t *)r->h[1] + i;
    __m256i v = _mm256_packus_epi16(linear_16(h0, h1, b0, b1), linear_16(h0 + 16, h1 + 16, b0, b1));
    return _mm256_permute4x64_epi64(v, 0xd8);
}

void cv2_down_linear_avx2(const cv2_rows *r, uint8_t *dst, size_t n)
{
    const __m256i b0 = _mm256_set1_epi16(r->b[0]), b1 = _mm256_set1_epi16(r->b[1]);
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm256_storeu_si256((__m256i *)(dst + i), linear_32(r, i, b0, b1));
    if (i < n) {
        uint8_t last[32];
        _mm256_storeu_si256((__m256i *)last, linear_32(r, i, b0, b1));
        memcpy(dst + i, last, n - i);
    }
}

static inline __m256 times(const void *h, size_t i, float beta)
{
    const __m256i v = _mm256_loadu_si256((const __m256i *)((const int32_t *)h + i));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_set1_ps(beta));
}

/* Each operation rounded on its own: this file is compiled without contraction. */
static inline __m256i cubic_8(const cv2_rows *r, size_t i)
{
    __m256 t = _mm256_add_ps(times(r->h[2], i, r->beta[2]), times(r->h[3], i, r->beta[3]));
    t = _mm256_add_ps(times(r->h[1], i, r->beta[1]), t);
    t = _mm256_add_ps(times(r->h[0], i, r->beta[0]), t);
    return _mm256_cvtps_epi32(t);
}

static inline __m128i cubic_16(const cv2_rows *r, size_t i)
{
    __m256i v = _mm256_packs_epi32(cubic_8(r, i), cubic_8(r, i + 8));
    v = _mm256_packus_epi16(_mm256_permute4x64_epi64(v, 0xd8), _mm256_setzero_si256());
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(v, 0xd8));
}

void cv2_down_cubic_avx2(const cv2_rows *r, uint8_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm_storeu_si128((__m128i *)(dst + i), cubic_16(r, i));
    if (i < n) {
        uint8_t last[16];
        _mm_storeu_si128((__m128i *)last, cubic_16(r, i));
        memcpy(dst + i, last, n - i);
    }
}
#endif
