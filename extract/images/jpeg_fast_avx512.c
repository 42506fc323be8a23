/* The inverse DCT in AVX-512, four blocks at once. */
#include "extract/images/jpeg_fast.h"

#if defined(__AVX512BW__)
#include <immintrin.h>

typedef __m512i v;
#define V(name) _mm512_##name
#define ZERO _mm512_setzero_si512()
#include "extract/images/jpeg_idct.h"

/* 128 bits of each of four blocks */
static inline v four_rows(const int16_t *a, const int16_t *b, const int16_t *c, const int16_t *d)
{
    __m256i ab =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a)),
                                _mm_loadu_si128((const __m128i *)b), 1);
    __m256i cd =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)c)),
                                _mm_loadu_si128((const __m128i *)d), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(ab), cd, 1);
}

static inline void put_rows(__m128i two, uint8_t *dst, size_t stride)
{
    _mm_storel_epi64((__m128i *)dst, two);
    _mm_storel_epi64((__m128i *)(dst + stride), _mm_unpackhi_epi64(two, two));
}

static void four_blocks(jpeg_batch *q, int at, unsigned *bad)
{
    const v centre = _mm512_set1_epi8((char)0x80), bias = _mm512_set1_epi16(8192);
    const int16_t *const *block = q->block + at;
    const int16_t *const *t = q->quant + at;
    v x[8], seen = ZERO;
    for (int i = 0; i < 8; i++) {
        x[i] = _mm512_mullo_epi16(
            four_rows(block[0] + 8 * i, block[1] + 8 * i, block[2] + 8 * i, block[3] + 8 * i),
            four_rows(t[0] + 8 * i, t[1] + 8 * i, t[2] + 8 * i, t[3] + 8 * i));
        seen = _mm512_or_si512(seen, _mm512_add_epi16(x[i], bias));
    }
    if (_mm512_test_epi16_mask(seen, _mm512_set1_epi16((short)0xc000)) != 0) *bad = ~0u;
    idct(x);
    for (int i = 0; i < 8; i += 2) {
        v two = _mm512_add_epi8(_mm512_packs_epi16(x[i], x[i + 1]), centre);
        const size_t *stride = q->stride + at;
        uint8_t *const *dst = q->dst + at;
        put_rows(_mm512_castsi512_si128(two), dst[0] + (size_t)i * stride[0], stride[0]);
        put_rows(_mm512_extracti32x4_epi32(two, 1), dst[1] + (size_t)i * stride[1], stride[1]);
        put_rows(_mm512_extracti32x4_epi32(two, 2), dst[2] + (size_t)i * stride[2], stride[2]);
        put_rows(_mm512_extracti32x4_epi32(two, 3), dst[3] + (size_t)i * stride[3], stride[3]);
    }
}

void jpeg_idct_avx512(jpeg_batch *q, unsigned *bad)
{
    for (int i = 0; i < JPEG_BATCH; i += 4)
        four_blocks(q, i, bad);
}
#endif
