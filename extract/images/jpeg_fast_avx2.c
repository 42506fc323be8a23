/* Pixels of a JPEG in AVX2: inverse DCT, fancy upsampling, YCbCr -> RGB (models.md 11.1).
 * The DCT keeps to the word sizes of libjpeg-turbo's vector code (16-bit sums, 32-bit products,
 * saturating packs), so that coefficients no encoder writes give the same bytes too. */
#include "extract/images/jpeg_fast.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

typedef __m256i v;

#define V(name) _mm256_##name
#define ZERO _mm256_setzero_si256()
#include "extract/images/jpeg_idct.h"

/* ---- inverse DCT, one block in each half of the vectors -------------------------------------- */

static inline v two_rows(const int16_t *a, const int16_t *b)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a)),
                                   _mm_loadu_si128((const __m128i *)b), 1);
}

static inline void put_rows(__m128i two, uint8_t *dst, size_t stride)
{
    _mm_storel_epi64((__m128i *)dst, two);
    _mm_storel_epi64((__m128i *)(dst + stride), _mm_unpackhi_epi64(two, two));
}

static void two_blocks(jpeg_batch *q, int at, unsigned *bad)
{
    const v centre = _mm256_set1_epi8((char)0x80), bias = _mm256_set1_epi16(8192);
    const int16_t *const *block = q->block + at;
    v x[8], seen = ZERO;
    for (int i = 0; i < 8; i++) {
        x[i] = _mm256_mullo_epi16(two_rows(block[0] + 8 * i, block[1] + 8 * i),
                                  two_rows(q->quant[at] + 8 * i, q->quant[at + 1] + 8 * i));
        seen = _mm256_or_si256(seen, _mm256_add_epi16(x[i], bias));
    }
    if (!_mm256_testz_si256(seen, _mm256_set1_epi16((short)0xc000))) *bad = ~0u;
    idct(x);
    for (int i = 0; i < 8; i += 2) {
        v two = _mm256_add_epi8(_mm256_packs_epi16(x[i], x[i + 1]), centre);
        put_rows(_mm256_castsi256_si128(two), q->dst[at] + (size_t)i * q->stride[at],
                 q->stride[at]);
        put_rows(_mm256_extracti128_si256(two, 1), q->dst[at + 1] + (size_t)i * q->stride[at + 1],
                 q->stride[at + 1]);
    }
}

void jpeg_idct_avx2(jpeg_batch *q, unsigned *bad)
{
    for (int i = 0; i < JPEG_BATCH; i += 2)
        two_blocks(q, i, bad);
}

/* ---- upsampling ------------------------------------------------------------------------------ */

static inline v widen(const uint8_t *s)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)s));
}

static inline v three(v a)
{
    return _mm256_add_epi16(_mm256_add_epi16(a, a), a);
}

/* even and odd samples, 16 bits each -> 32 bytes in order */
static inline void put_interleaved(uint8_t *out, v even, v odd)
{
    _mm256_storeu_si256((v *)out, _mm256_or_si256(even, _mm256_slli_epi16(odd, 8)));
}

void jpeg_up_h2v1_avx2(const uint8_t *a, int from, int to, uint8_t *out)
{
    const v one = _mm256_set1_epi16(1), two = _mm256_set1_epi16(2);
    for (int i = from; i < to; i += 16, out += 32) {
        v m = three(widen(a + i));
        v even = _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(m, widen(a + i - 1)), one), 2);
        v odd = _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(m, widen(a + i + 1)), two), 2);
        put_interleaved(out, even, odd);
    }
}

static inline v column_sum(const uint8_t *near, const uint8_t *far)
{
    return _mm256_add_epi16(three(widen(near)), widen(far));
}

void jpeg_up_h2v2_avx2(const uint8_t *near, const uint8_t *far, int from, int to, uint8_t *out)
{
    const v seven = _mm256_set1_epi16(7), eight = _mm256_set1_epi16(8);
    for (int i = from; i < to; i += 16, out += 32) {
        v m = three(column_sum(near + i, far + i));
        v l = column_sum(near + i - 1, far + i - 1), r = column_sum(near + i + 1, far + i + 1);
        v even = _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(m, l), eight), 4);
        v odd = _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(m, r), seven), 4);
        put_interleaved(out, even, odd);
    }
}

void jpeg_up_h1v2_avx2(const uint8_t *near, const uint8_t *far, int n, int bias, uint8_t *out)
{
    const v b = _mm256_set1_epi16((short)bias);
    for (int i = 0; i < n; i += 16) {
        v s = _mm256_srli_epi16(_mm256_add_epi16(column_sum(near + i, far + i), b), 2);
        s = _mm256_permute4x64_epi64(_mm256_packus_epi16(s, s), 0xd8);
        _mm_storeu_si128((__m128i *)(out + i), _mm256_castsi256_si128(s));
    }
}

/* ---- colour ---------------------------------------------------------------------------------- */

/* (a * ka + b * kb [+ 32768 where b is 2 and kb 16384]) >> 16 */
static inline v product(v a, v b, v k, v round)
{
    v lo = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), k), round);
    v hi = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), k), round);
    return _mm256_packs_epi32(_mm256_srai_epi32(lo, 16), _mm256_srai_epi32(hi, 16));
}

static inline __m128i to_bytes(v a)
{
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi16(a, a), 0xd8));
}

/* 16 bytes of each channel -> 48 bytes of pixels */
static inline void put_rgb(__m128i r, __m128i g, __m128i b, uint8_t *out)
{
    enum { Z = -128 };
    const __m128i r0 = _mm_setr_epi8(0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z, Z, 5);
    const __m128i g0 = _mm_setr_epi8(Z, 0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z, Z);
    const __m128i b0 = _mm_setr_epi8(Z, Z, 0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z);
    const __m128i r1 = _mm_setr_epi8(Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z, 10, Z);
    const __m128i g1 = _mm_setr_epi8(5, Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z, 10);
    const __m128i b1 = _mm_setr_epi8(Z, 5, Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z);
    const __m128i r2 = _mm_setr_epi8(Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15, Z, Z);
    const __m128i g2 = _mm_setr_epi8(Z, Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15, Z);
    const __m128i b2 = _mm_setr_epi8(10, Z, Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15);
    __m128i *o = (__m128i *)out;
    _mm_storeu_si128(o, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r0), _mm_shuffle_epi8(g, g0)),
                                     _mm_shuffle_epi8(b, b0)));
    _mm_storeu_si128(o + 1,
                     _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r1), _mm_shuffle_epi8(g, g1)),
                                  _mm_shuffle_epi8(b, b1)));
    _mm_storeu_si128(o + 2,
                     _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r2), _mm_shuffle_epi8(g, g2)),
                                  _mm_shuffle_epi8(b, b2)));
}

static inline void put_colour(const uint8_t *ys, const uint8_t *cbs, const uint8_t *crs,
                              uint8_t *out)
{
    const v centre = _mm256_set1_epi16(128), two = _mm256_set1_epi16(2),
            none = _mm256_setzero_si256();
    v y = widen(ys), cb = _mm256_sub_epi16(widen(cbs), centre),
      cr = _mm256_sub_epi16(widen(crs), centre);
    v r = product(cr, two, pair(26345, 16384), none);  /* 91881 = 65536 + 26345 */
    v b = product(cb, two, pair(-14942, 16384), none); /* 116130 = 131072 - 14942 */
    v g =
        product(cb, cr, pair(-22554, 18734), _mm256_set1_epi32(32768)); /* -46802 = 18734 - 65536 */
    r = _mm256_add_epi16(_mm256_add_epi16(y, cr), r);
    g = _mm256_add_epi16(_mm256_sub_epi16(y, cr), g);
    b = _mm256_add_epi16(_mm256_add_epi16(y, _mm256_add_epi16(cb, cb)), b);
    put_rgb(to_bytes(r), to_bytes(g), to_bytes(b), out);
}

void jpeg_rgb_avx2(const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int n, uint8_t *rgb)
{
    int i = 0;
    for (; i + 16 <= n; i += 16)
        put_colour(y + i, cb + i, cr + i, rgb + 3 * i);
    if (i < n) {
        uint8_t last[48];
        put_colour(y + i, cb + i, cr + i, last);
        memcpy(rgb + 3 * i, last, 3 * (size_t)(n - i));
    }
}

void jpeg_grey_avx2(const uint8_t *y, int n, uint8_t *rgb)
{
    int i = 0;
    __m128i g;
    for (; i + 16 <= n; i += 16) {
        g = _mm_loadu_si128((const __m128i *)(y + i));
        put_rgb(g, g, g, rgb + 3 * i);
    }
    for (; i < n; i++)
        memset(rgb + 3 * i, y[i], 3);
}
#endif
