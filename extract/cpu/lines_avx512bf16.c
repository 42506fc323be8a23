/* The bf16 lines that write maps, on processors that convert sixteen floats at once; twins of
 * lines.inc, but for numbers below 2^-126, which become 0. */
#include "extract/cpu/lines_fast.h"

#include <immintrin.h>
#include <math.h>

enum { LANES = 16 };

#define ALWAYS static inline __attribute__((always_inline))

/* The lanes that are left at k. */
ALWAYS __mmask16 lanes_at(size_t k, size_t c)
{
    return c - k >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << (c - k)) - 1);
}

ALWAYS __m512 get(const bf16 *p, __mmask16 m)
{
    __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}

ALWAYS void put(bf16 *p, __mmask16 m, __m512 v)
{
    _mm256_mask_storeu_epi16(p, m, (__m256i)_mm512_cvtneps_pbh(v));
}

ALWAYS __m512 floats(const float *p, __mmask16 m)
{
    return _mm512_maskz_loadu_ps(m, p);
}

/* The second source is returned for a NaN. */
ALWAYS __m512 bounded(__m512 v, float low, float high)
{
    return _mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), v));
}

/* expression: of the lanes X at channel k of pixel i, m the lanes that count */
#define EACH(expression)                                                                           \
    do {                                                                                           \
        const bf16 *x_ = x;                                                                        \
        bf16 *y_ = y;                                                                              \
        for (size_t i = 0; i < w; i++, x_ += x_ld, y_ += y_ld) {                                   \
            size_t k = 0;                                                                          \
            for (; k + LANES <= c; k += LANES) {                                                   \
                const __mmask16 m = 0xffff;                                                        \
                const __m512 X = get(x_ + k, m);                                                   \
                put(y_ + k, m, expression);                                                        \
            }                                                                                      \
            if (k < c) {                                                                           \
                const __mmask16 m = lanes_at(k, c);                                                \
                const __m512 X = get(x_ + k, m);                                                   \
                put(y_ + k, m, expression);                                                        \
            }                                                                                      \
        }                                                                                          \
    } while (0)
#define F(p) floats((p) + k, m)

void line_scale_fast(ROW_XY, const float *s, const float *t, float low, float high)
{
    EACH(bounded(X * F(s) + F(t), low, high));
}

void line_norm_fast(ROW_XY, const float *mean, const float *s, const float *t, float low, float high)
{
    EACH(bounded((X - F(mean)) * F(s) + F(t), low, high));
}

void line_gate_fast(ROW_XY, const float *s)
{
    EACH(X * F(s));
}

void line_plus_fast(ROW_XY, const float *t)
{
    EACH(X + F(t + i * c));
}

void line_bound_fast(ROW_XY, float low, float high)
{
    EACH(bounded(X, low, high));
}

void line_add_fast(ROW_XY, const void *z, size_t z_ld, float low, float high)
{
    const bf16 *z_ = z;
    EACH(bounded(X + get(z_ + i * z_ld + k, m), low, high));
}

void line_narrow_fast(const float *x, void *y, size_t c)
{
    bf16 *to = y;
    for (size_t k = 0; k < c; k += LANES) {
        const __mmask16 m = lanes_at(k, c);
        put(to + k, m, floats(x + k, m));
    }
}

/* In a fixed order. */
ALWAYS float total(__m512 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

/* step(chain, k, lanes): two chains hide the latency of an addition. */
#define WALK(step)                                                                                 \
    do {                                                                                           \
        size_t k = 0;                                                                              \
        for (; k + 2 * LANES <= c; k += 2 * LANES) {                                               \
            step(0, k, 0xffff);                                                                    \
            step(1, k + LANES, 0xffff);                                                            \
        }                                                                                          \
        for (; k < c; k += LANES)                                                                  \
            step(0, k, lanes_at(k, c));                                                            \
    } while (0)
#define SUM(chain, at, m) sum[chain] = sum[chain] + get(from + (at), m)
#define DEVIATIONS(chain, at, m)                                                                   \
    do {                                                                                           \
        const __m512 v = _mm512_maskz_sub_ps(m, get(from + (at), m), mean);                        \
        left[chain] = left[chain] + v;                                                             \
        squares[chain] = squares[chain] + v * v;                                                   \
    } while (0)
#define RESULT(chain, at, m)                                                                       \
    put(to + (at), m,                                                                              \
        (get(from + (at), m) - mean) * factor * floats(gamma + (at), m) + floats(beta + (at), m))

/* Converting an element again is cheaper than keeping its float. */
void line_layernorm_fast(ROW_XY, const float *gamma, const float *beta, float eps, float *t)
{
    const bf16 *from = x;
    bf16 *to = y;
    const float each = 1.0f / (float)c;
    const __m512 zero = _mm512_setzero_ps();
    (void)t;
    for (size_t i = 0; i < w; i++, from += x_ld, to += y_ld) {
        __m512 sum[2] = { zero, zero }, left[2] = { zero, zero }, squares[2] = { zero, zero };
        __m512 mean, factor;
        float rest, variance;
        WALK(SUM);
        mean = _mm512_set1_ps(total(sum[0] + sum[1]) * each);
        WALK(DEVIATIONS);
        rest = total(left[0] + left[1]) * each;
        variance = total(squares[0] + squares[1]) * each - rest * rest;
        factor = _mm512_set1_ps(1.0f / sqrtf(variance + eps));
        mean = mean + _mm512_set1_ps(rest);
        WALK(RESULT);
    }
}
