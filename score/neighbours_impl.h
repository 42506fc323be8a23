/* The body of neighbours_plain.c, neighbours_avx2.c and neighbours_avx512.c; NEAR names the table.
 * A tile is ROWS rows by VECTORS vectors of a panel, held in registers. */
#include "score/neighbours.h"

#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
enum { LANES = 16, VECTORS = 3, ROWS = 8 };
typedef __m512 vec;
#define ZERO() _mm512_setzero_ps()
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps((p), (v))
#define ALL(s) _mm512_set1_ps(s)
#define FMA(a, b, c) _mm512_fmadd_ps((a), (b), (c))
#define PLUS(a, b) _mm512_add_ps((a), (b))
#elif defined(__AVX2__)
#include <immintrin.h>
enum { LANES = 8, VECTORS = 3, ROWS = 4 };
typedef __m256 vec;
#define ZERO() _mm256_setzero_ps()
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps((p), (v))
#define ALL(s) _mm256_set1_ps(s)
#define FMA(a, b, c) _mm256_fmadd_ps((a), (b), (c))
#define PLUS(a, b) _mm256_add_ps((a), (b))
#else
enum { LANES = 4, VECTORS = 3, ROWS = 4 };
typedef float vec __attribute__((vector_size(16)));
#define ZERO() ((vec){0, 0, 0, 0})
static inline vec load_vec(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
#define LOAD(p) load_vec(p)
#define STORE(p, v) memcpy((p), &(v), sizeof(vec))
#define ALL(s) ((vec){(s), (s), (s), (s)})
#define FMA(a, b, c) ((a) * (b) + (c))
#define PLUS(a, b) ((a) + (b))
#endif

static inline __attribute__((always_inline)) void tile(const float *x, size_t ld, const int rows,
                                                       const float *panel, size_t k, int add,
                                                       float *dot)
{
    for (int at = 0; at < NEAR_PANEL; at += VECTORS * LANES) {
        vec sum[ROWS][VECTORS];
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] = ZERO();
        for (size_t p = 0; p < k; p++) {
            const float *b = panel + p * NEAR_PANEL + at;
            vec b0 = LOAD(b), b1 = LOAD(b + LANES), b2 = LOAD(b + 2 * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                vec a = ALL(x[(size_t)r * ld + p]);
                sum[r][0] = FMA(a, b0, sum[r][0]);
                sum[r][1] = FMA(a, b1, sum[r][1]);
                sum[r][2] = FMA(a, b2, sum[r][2]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int v = 0; v < VECTORS; v++) {
                float *to = dot + r * NEAR_PANEL + at + v * LANES;
                vec s = add ? PLUS(LOAD(to), sum[r][v]) : sum[r][v];
                STORE(to, s);
            }
    }
}

static void products(const float *x, size_t ld, size_t rows, const float *panel, size_t k, int add,
                     float *dot)
{
    size_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        tile(x + r * ld, ld, ROWS, panel, k, add, dot + r * NEAR_PANEL);
    for (; r < rows; r++)
        tile(x + r * ld, ld, 1, panel, k, add, dot + r * NEAR_PANEL);
}

static size_t append(const float *dot, const float *square, float limit, uint32_t first, float *value,
                     uint32_t *index, size_t n)
{
#if defined(__AVX512F__)
    const __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (uint32_t j = 0; j < NEAR_PANEL; j += LANES) {
        __m512 v = _mm512_fnmadd_ps(_mm512_set1_ps(2), LOAD(dot + j), LOAD(square + j));
        __mmask16 in = _mm512_cmp_ps_mask(v, _mm512_set1_ps(limit), _CMP_LE_OQ);
        if (in == 0) continue;
        STORE(value + n, _mm512_maskz_compress_ps(in, v));
        _mm512_storeu_si512(index + n, _mm512_maskz_compress_epi32(
                                           in, _mm512_add_epi32(place, _mm512_set1_epi32((int)(first + j)))));
        n += (size_t)__builtin_popcount(in);
    }
#else
    for (uint32_t j = 0; j < NEAR_PANEL; j++) {
        float v = square[j] - 2 * dot[j];
        value[n] = v;
        index[n] = first + j;
        n += v <= limit;
    }
#endif
    return n;
}

/* The order of floats as that of integers. */
static inline int32_t key_of(float f)
{
    int32_t i;
    memcpy(&i, &f, sizeof i);
    return i ^ (int32_t)((uint32_t)(i >> 31) >> 1);
}

/* Halves the range of keys until one is left: passes that count are faster than any that move. */
static float select_rank(const float *v, size_t n, size_t rank)
{
    int64_t low = INT32_MAX, high = INT32_MIN;
    int32_t i;
    float f;
    for (size_t k = 0; k < n; k++) {
        int32_t key = key_of(v[k]);
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    while (low < high) { /* at least rank + 1 are <= high, at most rank are < low */
        int32_t middle = (int32_t)(low + (high - low) / 2);
        uint32_t below = 0;
#pragma omp simd reduction(+ : below)
        for (size_t k = 0; k < n; k++)
            below += key_of(v[k]) <= middle;
        if (below > rank) high = middle;
        else low = (int64_t)middle + 1;
    }
    i = (int32_t)low;
    i ^= (int32_t)((uint32_t)(i >> 31) >> 1);
    memcpy(&f, &i, sizeof f);
    return f;
}

const near_kernel NEAR = {NEAR_NAME, products, append, select_rank};
