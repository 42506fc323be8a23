/* AVX2 twin of the two resize passes; tables and bounds in resize_parts.h. */
#include "extract/images/resize_parts.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

/* Three packed pixels and more -> 16-bit pairs (a, b) of R, G, B of two neighbouring taps. */
static inline __m256i pick(int first_tap)
{
    const char t = (char)(3 * first_tap);
    const __m128i one = _mm_setr_epi8(t, -1, (char)(t + 3), -1, (char)(t + 1), -1, (char)(t + 4),
                                      -1, (char)(t + 2), -1, (char)(t + 5), -1, -1, -1, -1, -1);
    return _mm256_broadcastsi128_si256(one);
}

static inline __m256i load_two(const uint8_t *a, const uint8_t *b)
{
    __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a));
    return _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)b), 1);
}

/* Sums of 256 * high + low, rounded, as 32-bit values. */
static inline __m256i finish(__m256i high, __m256i low)
{
    const __m256i half = _mm256_set1_epi32(1 << (RESIZE_BITS - 1));
    return _mm256_srai_epi32(
        _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, 8), low), half), RESIZE_BITS);
}

static inline void put_pixel(uint8_t *dst, int32_t rgbx)
{
    memcpy(dst, &rgbx, 4); /* the fourth byte is the next pixel's first, written after it */
}

void resize_across_avx2(const resize_axis *a, const uint8_t *src, size_t sstride, uint8_t *dst,
                        size_t dstride, int rows)
{
    const __m256i pick01 = pick(0), pick23 = pick(2);
    for (int y = 0; y < rows; y++, src += sstride, dst += dstride) {
        const __m256i *q = (const __m256i *)a->across;
        for (int i = 0; i < a->count; i += 2) {
            int other = i + 1 < a->count ? i + 1 : i;
            const uint8_t *s0 = src + 3 * (size_t)a->lo[i], *s1 = src + 3 * (size_t)a->lo[other];
            __m256i high = _mm256_setzero_si256(), low = high, v;
            for (int j = 0; j < a->quads; j++, q += 4) {
                __m256i p01, p23;
                v = load_two(s0 + 12 * j, s1 + 12 * j);
                p01 = _mm256_shuffle_epi8(v, pick01);
                p23 = _mm256_shuffle_epi8(v, pick23);
                high = _mm256_add_epi32(high, _mm256_add_epi32(_mm256_madd_epi16(p01, q[0]),
                                                               _mm256_madd_epi16(p23, q[1])));
                low = _mm256_add_epi32(low, _mm256_add_epi32(_mm256_madd_epi16(p01, q[2]),
                                                             _mm256_madd_epi16(p23, q[3])));
            }
            v = finish(high, low);
            v = _mm256_packs_epi32(v, v);
            v = _mm256_packus_epi16(v, v);
            put_pixel(dst + 3 * i, _mm256_cvtsi256_si32(v));
            if (other > i) put_pixel(dst + 3 * other, _mm256_extract_epi32(v, 4));
        }
    }
}

/* 16 output bytes at column x. */
static inline __m128i down16(const int16_t *q, int n, const uint8_t *s, size_t sstride)
{
    __m256i h0 = _mm256_setzero_si256(), h1 = h0, l0 = h0, l1 = h0, v;
    for (int k = 0; k < n; k += 2, q += 4, s += 2 * sstride) {
        const uint8_t *t = k + 1 < n ? s + sstride : s; /* its weight is 0 then */
        __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)s));
        __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)t));
        __m256i lo = _mm256_unpacklo_epi16(a, b), hi = _mm256_unpackhi_epi16(a, b), qh, ql;
        int32_t pair;
        memcpy(&pair, q, 4);
        qh = _mm256_set1_epi32(pair);
        memcpy(&pair, q + 2, 4);
        ql = _mm256_set1_epi32(pair);
        h0 = _mm256_add_epi32(h0, _mm256_madd_epi16(lo, qh));
        h1 = _mm256_add_epi32(h1, _mm256_madd_epi16(hi, qh));
        l0 = _mm256_add_epi32(l0, _mm256_madd_epi16(lo, ql));
        l1 = _mm256_add_epi32(l1, _mm256_madd_epi16(hi, ql));
    }
    v = _mm256_packs_epi32(finish(h0, l0), finish(h1, l1));
    v = _mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0xd8);
    return _mm256_castsi256_si128(v);
}

void resize_down_avx2(const int16_t *q, int n, const uint8_t *src, size_t sstride, uint8_t *dst,
                      size_t bytes)
{
    size_t x = 0;
    for (; x + 16 <= bytes; x += 16)
        _mm_storeu_si128((__m128i *)(dst + x), down16(q, n, src + x, sstride));
    if (x < bytes) {
        uint8_t last[16];
        _mm_storeu_si128((__m128i *)last, down16(q, n, src + x, sstride));
        memcpy(dst + x, last, bytes - x);
    }
}
#endif
