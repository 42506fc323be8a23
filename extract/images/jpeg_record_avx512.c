/* A block of coefficients to those of them that are not 0, with the compressing moves of AVX-512 VBMI2. */
#include "extract/images/jpeg_record.h"

#if defined(__AVX512BW__)
#include <immintrin.h>

#define VBMI2 __attribute__((target("avx512vbmi2,popcnt")))

VBMI2 uint8_t *jpeg_pack_block_avx512(record_block *b, const int16_t *quant, const int16_t *block,
                                      int16_t dc, uint8_t *to, unsigned *bad)
{
    const __m512i bias = _mm512_set1_epi16(8192), high = _mm512_set1_epi16((short)0xc000);
    __m512i x0 = _mm512_maskz_loadu_epi16(~1u, block), x1 = _mm512_loadu_si512(block + 32);
    __m512i q0 = _mm512_mullo_epi16(x0, _mm512_loadu_si512(quant));
    __m512i q1 = _mm512_mullo_epi16(x1, _mm512_loadu_si512(quant + 32));
    __m512i seen = _mm512_or_si512(_mm512_add_epi16(q0, bias), _mm512_add_epi16(q1, bias));
    __mmask32 m0, m1;
    *bad |= _mm512_test_epi16_mask(seen, high) | (unsigned)jpeg_is_out_of_range(dc, quant[0]);
    m0 = _mm512_test_epi16_mask(x0, x0);
    m1 = _mm512_test_epi16_mask(x1, x1);
    b->dc = dc;
    b->mask = (uint64_t)m1 << 32 | m0;
    x0 = _mm512_maskz_compress_epi16(m0, x0);
    x1 = _mm512_maskz_compress_epi16(m1, x1);
    seen = _mm512_or_si512(_mm512_add_epi16(x0, _mm512_set1_epi16(128)),
                           _mm512_add_epi16(x1, _mm512_set1_epi16(128)));
    b->wide = 1;
    if (__builtin_expect(_mm512_test_epi16_mask(seen, _mm512_set1_epi16((short)0xff00)) != 0, 0)) {
        b->wide = 2;
        _mm512_storeu_si512(to, x0);
        to += 2 * _mm_popcnt_u32(m0);
        _mm512_storeu_si512(to, x1);
        return to + 2 * _mm_popcnt_u32(m1);
    }
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi16_epi8(x0));
    to += _mm_popcnt_u32(m0);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi16_epi8(x1));
    return to + _mm_popcnt_u32(m1);
}
#endif
