/* AVX-512 twin of the two resize passes; tables and bounds in resize_parts.h. */
#include "extract/images/resize_parts.h"

#if defined(__AVX512BW__)
#include <immintrin.h>
#include <string.h>

static inline __m512i pick(int first_tap)
{
    const char t = (char)(3 * first_tap);
    const __m128i one = _mm_setr_epi8(t, -1, (char)(t + 3), -1, (char)(t + 1), -1, (char)(t + 4),
                                      -1, (char)(t + 2), -1, (char)(t + 5), -1, -1, -1, -1, -1);
    return _mm512_broadcast_i32x4(one);
}

static inline __m128i load16(const uint8_t *s)
{
    return _mm_loadu_si128((const __m128i *)s);
}

static inline __m512i load_four(const uint8_t *s, const int *lo)
{
    __m256i ab = _mm256_inserti128_si256(_mm256_castsi128_si256(load16(s + 3 * (size_t)lo[0])),
                                         load16(s + 3 * (size_t)lo[1]), 1);
    __m256i cd = _mm256_inserti128_si256(_mm256_castsi128_si256(load16(s + 3 * (size_t)lo[2])),
                                         load16(s + 3 * (size_t)lo[3]), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(ab), cd, 1);
}

/* Sums of 256 * high + low, rounded and clamped to bytes, one byte per 32-bit lane. */
static inline __m128i finish(__m512i high, __m512i low)
{
    const __m512i half = _mm512_set1_epi32(1 << (RESIZE_BITS - 1));
    __m512i v = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low), half);
    v = _mm512_max_epi32(_mm512_srai_epi32(v, RESIZE_BITS), _mm512_setzero_si512());
    return _mm512_cvtusepi32_epi8(v);
}

void resize_across_avx512(const resize_axis *a, const uint8_t *src, size_t sstride, uint8_t *dst,
                          size_t dstride, int rows)
{
    const __m512i pick01 = pick(0), pick23 = pick(2);
    const __m128i close = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    for (int y = 0; y < rows; y++, src += sstride, dst += dstride) {
        const __m512i *q = (const __m512i *)a->across;
        for (int i = 0; i < a->count; i += 4) {
            int last[4];
            const int *lo = a->lo + i;
            __m512i high = _mm512_setzero_si512(), low = high;
            if (i + 4 > a->count) { /* lanes without an output have weight 0 and a safe place */
                for (int x = 0; x < 4; x++)
                    last[x] = a->lo[i + x < a->count ? i + x : i];
                lo = last;
            }
            for (int j = 0; j < a->quads; j++, q += 4) {
                __m512i v = load_four(src + 12 * j, lo);
                __m512i p01 = _mm512_shuffle_epi8(v, pick01), p23 = _mm512_shuffle_epi8(v, pick23);
                high = _mm512_add_epi32(high, _mm512_add_epi32(_mm512_madd_epi16(p01, q[0]),
                                                               _mm512_madd_epi16(p23, q[1])));
                low = _mm512_add_epi32(low, _mm512_add_epi32(_mm512_madd_epi16(p01, q[2]),
                                                             _mm512_madd_epi16(p23, q[3])));
            }
            _mm_storeu_si128((__m128i *)(dst + 3 * i), _mm_shuffle_epi8(finish(high, low), close));
        }
    }
}

/* 32 output bytes at column x; loads are masked at the row's end. */
static inline __m256i down32(const int16_t *q, int n, const uint8_t *s, size_t sstride,
                             __mmask32 mask)
{
    __m512i h0 = _mm512_setzero_si512(), h1 = h0, l0 = h0, l1 = h0;
    for (int k = 0; k < n; k += 2, q += 4, s += 2 * sstride) {
        const uint8_t *t = k + 1 < n ? s + sstride : s; /* its weight is 0 then */
        __m512i a = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, s));
        __m512i b = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, t));
        __m512i lo = _mm512_unpacklo_epi16(a, b), hi = _mm512_unpackhi_epi16(a, b), qh, ql;
        int32_t pair;
        memcpy(&pair, q, 4);
        qh = _mm512_set1_epi32(pair);
        memcpy(&pair, q + 2, 4);
        ql = _mm512_set1_epi32(pair);
        h0 = _mm512_add_epi32(h0, _mm512_madd_epi16(lo, qh));
        h1 = _mm512_add_epi32(h1, _mm512_madd_epi16(hi, qh));
        l0 = _mm512_add_epi32(l0, _mm512_madd_epi16(lo, ql));
        l1 = _mm512_add_epi32(l1, _mm512_madd_epi16(hi, ql));
    }
    {
        const __m512i half = _mm512_set1_epi32(1 << (RESIZE_BITS - 1));
        __m512i v0 = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(h0, 8), l0), half);
        __m512i v1 = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(h1, 8), l1), half);
        __m512i v = _mm512_packs_epi32(_mm512_srai_epi32(v0, RESIZE_BITS),
                                       _mm512_srai_epi32(v1, RESIZE_BITS));
        v = _mm512_max_epi16(v, _mm512_setzero_si512());
        return _mm512_cvtusepi16_epi8(v);
    }
}

void resize_down_avx512(const int16_t *q, int n, const uint8_t *src, size_t sstride, uint8_t *dst,
                        size_t bytes)
{
    for (size_t x = 0; x < bytes; x += 32) {
        __mmask32 mask = bytes - x >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << (bytes - x)) - 1;
        _mm256_mask_storeu_epi8(dst + x, mask, down32(q, n, src + x, sstride, mask));
    }
}
#endif
