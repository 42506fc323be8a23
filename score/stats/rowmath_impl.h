/* The body of rowmath.c, rowmath_avx2.c and rowmath_avx512.c; ROWMATH names the table.
 * exp: x = n log 2 + r, |r| <= log(2)/2, log 2 in two parts (Cody and Waite); Taylor's
 * polynomial of degree 7, whose remainder there is 5e-9; the power of two in two factors, so that denormals
 * come out rounded once. */
#include "score/stats/rowmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

static inline float power_of_two(int32_t n)
{
    int32_t bits = (n + 127) << 23;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float exp_one(float x)
{
    float t, n, r, y;
    int32_t i, half;
    x = x < -104.5f ? -104.5f : x;
    x = x > 89.0f ? 89.0f : x;
    t = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: rounds to the nearest integer */
    n = t - 12582912.0f;
    r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    y = 1.98412698e-4f;
    y = y * r + 1.38888889e-3f;
    y = y * r + 8.33333333e-3f;
    y = y * r + 4.16666667e-2f;
    y = y * r + 1.66666667e-1f;
    y = y * r + 0.5f;
    y = (y * (r * r) + r) + 1.0f;
    i = (int32_t)n;
    half = i >> 1;
    return (y * power_of_two(half)) * power_of_two(i - half);
}

static void exp_row(const float *x, size_t n, float *y)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = exp_one(x[i]);
}

static float max_row(const float *z, size_t c)
{
    float lane[LANES], m = z[0];
    size_t i = 0;
    for (int l = 0; l < LANES; l++)
        lane[l] = z[0];
    for (; i + LANES <= c; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lane[l] = z[i + (size_t)l] > lane[l] ? z[i + (size_t)l] : lane[l];
    }
    for (int l = 0; l < LANES; l++)
        m = lane[l] > m ? lane[l] : m;
    for (; i < c; i++)
        m = z[i] > m ? z[i] : m;
    return m;
}

/* Sixteen classes at a time: e = exp(z - max), lanes of sum e and sum e (z - max), in f64. */
static inline void exp_sixteen(const float *z, float max, float *e, double *sum, double *et)
{
    float t[LANES];
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        t[l] = z[l] - max;
        e[l] = exp_one(t[l]);
    }
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        sum[l] += (double)e[l];
        et[l] += (double)(e[l] * t[l]);
    }
}

static void softmax_row(const float *z, size_t c, float *p, row_sums *s)
{
    double sum[LANES] = {0}, et[LANES] = {0}, total = 0, total_et = 0;
    float max = max_row(z, c), norm;
    size_t i = 0, k = 0;
    while (z[k] != max)
        k++;
    for (; i + LANES <= c; i += LANES) {
        float e[LANES];
        exp_sixteen(z + i, max, e, sum, et);
        if (p != NULL) memcpy(p + i, e, sizeof e);
    }
    for (size_t l = 0; i < c; i++, l++) {
        float t = z[i] - max, e = exp_one(t);
        sum[l] += (double)e;
        et[l] += (double)(e * t);
        if (p != NULL) p[i] = e;
    }
    for (int l = 0; l < LANES; l++) {
        total += sum[l];
        total_et += et[l];
    }
    s->max = max;
    s->argmax = k;
    s->lse = (double)max + log(total);
    s->plogp = total_et / total - log(total);
    if (p == NULL) return;
    norm = (float)total;
#pragma omp simd
    for (size_t j = 0; j < c; j++)
        p[j] = p[j] / norm;
}

static void axpy_row(size_t n, float a, const float *restrict x, float *restrict y)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void clip_sums_row(const float *h, size_t n, float clip, double *lost, double *kept)
{
    float lost_lane[LANES] = {0}, kept_lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            float x = h[i + (size_t)l], v = x > clip ? clip : x;
            lost_lane[l] += x - v;
            kept_lane[l] += v < 0 ? -v : v;
        }
    }
    for (size_t l = 0; i < n; i++, l++) {
        float v = h[i] > clip ? clip : h[i];
        lost_lane[l] += h[i] - v;
        kept_lane[l] += v < 0 ? -v : v;
    }
    *lost = *kept = 0;
    for (int l = 0; l < LANES; l++) {
        *lost += (double)lost_lane[l];
        *kept += (double)kept_lane[l];
    }
}

/* As exp_one in f64: Taylor of degree 13, remainder below 5e-18. */
static inline double exp_exact(double x)
{
    double t, n, r, y;
    int64_t bits;
    double power;
    int zero = x < -708.0;
    x = zero ? -708.0 : x;
    t = x * 1.4426950408889634 + 6755399441055744.0; /* 1.5 * 2^52 */
    n = t - 6755399441055744.0;
    r = (x - n * 0.69314718036912382) - n * 1.9082149292705877e-10;
    y = 1.6059043836821613e-10;
    y = y * r + 2.0876756987868099e-9;
    y = y * r + 2.5052108385441720e-8;
    y = y * r + 2.7557319223985893e-7;
    y = y * r + 2.7557319223985888e-6;
    y = y * r + 2.4801587301587302e-5;
    y = y * r + 1.9841269841269841e-4;
    y = y * r + 1.3888888888888889e-3;
    y = y * r + 8.3333333333333332e-3;
    y = y * r + 4.1666666666666664e-2;
    y = y * r + 1.6666666666666666e-1;
    y = y * r + 0.5;
    y = (y * (r * r) + r) + 1.0;
    memcpy(&bits, &t, sizeof bits);
    bits = (int64_t)(((uint64_t)bits + 1023) << 52); /* the low bits of t hold n */
    memcpy(&power, &bits, sizeof power);
    return zero ? 0.0 : y * power;
}

static double sum_exp_row(const float *z, size_t n, double shift, double scale)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lane[l] += exp_exact(((double)z[i + (size_t)l] - shift) * scale);
    }
    for (size_t l = 0; i < n; i++, l++)
        lane[l] += exp_exact(((double)z[i] - shift) * scale);
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static void dots_above_rows(size_t n, const float *restrict w, size_t stride,
                            const float *restrict h, const float *restrict least, float out[4])
{
    float lane[4][LANES] = {{0}};
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < 4; k++) {
            const float *row = w + k * stride + j;
#pragma omp simd
            for (int l = 0; l < LANES; l++)
                lane[k][l] += row[l] > least[j + (size_t)l] ? row[l] * h[j + (size_t)l] : 0.0f;
        }
    for (size_t k = 0; k < 4; k++) {
        const float *row = w + k * stride;
        out[k] = 0;
        for (size_t i = j, l = 0; i < n; i++, l++)
            if (row[i] > least[i]) lane[k][l] += row[i] * h[i];
        for (int l = 0; l < LANES; l++)
            out[k] += lane[k][l];
    }
}

const rowmath ROWMATH = {ROWMATH_NAME, softmax_row,   exp_row,     axpy_row,
                         clip_sums_row, sum_exp_row, dots_above_rows};
