/* What curve_math.h and softmax_tile.h need, on 16 lanes. */
#include "extract/cpu/lanes_avx.h"

#define ROUND(v) _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define EXPONENT(p, n, u)                                                                          \
    _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(u, SET1(-125.0f), _CMP_NLT_UQ), p, n)
#define BY_SIGN(x, minus, plus)                                                                    \
    _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), plus, minus)
#define ABOVE(x, low, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, low, _CMP_NLE_UQ), v)
#define BELOW(x, high, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, high, _CMP_NGE_UQ), v)
#define HALVES(v, op) op(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))
#define HIGHEST(v) highest_of_8(HALVES(v, _mm256_max_ps))
#define TOTAL(v) total_of_8(HALVES(v, _mm256_add_ps))
