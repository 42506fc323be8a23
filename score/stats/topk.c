#include "score/stats/topk.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { DIGITS = 2048 };

/* Monotone map of floats to integers: the sign bit flips for positive, all bits for negative. */
static inline uint32_t key_of(float v)
{
    uint32_t u;
    v += 0.0f; /* -0 -> 0 */
    memcpy(&u, &v, sizeof u);
    return u ^ ((uint32_t)((int32_t)u >> 31) | 0x80000000u);
}

static float value_of(uint32_t key)
{
    uint32_t u = (key & 0x80000000u) ? key ^ 0x80000000u : ~key;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

float topk_least(const float *v, size_t n, size_t k, size_t *larger)
{
    static const struct {
        int shift, bits;
    } digit[3] = {{21, 11}, {11, 10}, {0, 11}};
    uint32_t prefix = 0;
    *larger = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t count[DIGITS] = {0}, at = (1u << digit[i].bits) - 1;
        int above = digit[i].shift + digit[i].bits;
        for (size_t j = 0; j < n; j++) {
            uint32_t u = key_of(v[j]);
            if (i == 0 || u >> above == prefix) count[(u >> digit[i].shift) & at]++;
        }
        while (*larger + count[at] < k)
            *larger += count[at--];
        prefix = prefix << digit[i].bits | at;
    }
    return value_of(prefix);
}

double topk_sum(const float *v, size_t n, size_t k)
{
    size_t larger;
    float least = topk_least(v, n, k, &larger);
    double sum = (double)(k - larger) * (double)least;
    for (size_t j = 0; j < n; j++)
        if (v[j] > least) sum += (double)v[j];
    return sum;
}

size_t topk_of_percent(size_t n, double p)
{
    return n - (size_t)rint((double)n * p / 100.0);
}

/* ---- quantiles -------------------------------------------------------------------------------- */

/* Hoare's selection about the median of three; afterwards v[k] is in place, what lies before it is not
 * larger and what lies behind not smaller.  Written once for both types. */
#define SELECT(name, type)                                                                         \
    static void name(type *v, size_t n, size_t k)                                                  \
    {                                                                                              \
        size_t low = 0, high = n - 1;                                                              \
        while (low < high) {                                                                       \
            size_t mid = low + (high - low) / 2, i = low - 1, j = high + 1;                        \
            type a = v[low], b = v[mid], c = v[high], pivot, t;                                    \
            size_t at = a < b ? (b < c ? mid : a < c ? high : low)                                 \
                              : (a < c ? low : b < c ? high : mid);                                \
            pivot = v[at]; /* at the lower end the partition always splits */                      \
            v[at] = a;                                                                             \
            v[low] = pivot;                                                                        \
            for (;;) {                                                                             \
                do                                                                                 \
                    j--;                                                                           \
                while (v[j] > pivot);                                                              \
                do                                                                                 \
                    i++;                                                                           \
                while (v[i] < pivot);                                                              \
                if (i >= j) break;                                                                 \
                t = v[i];                                                                          \
                v[i] = v[j];                                                                       \
                v[j] = t;                                                                          \
            }                                                                                      \
            if (k <= j) high = j;                                                                  \
            else low = j + 1;                                                                      \
        }                                                                                          \
    }

SELECT(select_f64, double)
SELECT(select_f32, float)

/* position q (n - 1) between ranks i and i + 1, as numpy evaluates it from the nearer neighbour */
static size_t position(size_t n, double q, double *t)
{
    double v = q * (double)(n - 1);
    *t = v - floor(v);
    return (size_t)v;
}

static double between(double a, double b, double diff, double t)
{
    return t >= 0.5 ? b - diff * (1.0 - t) : a + diff * t;
}

double select_quantile_at(double *v, size_t n, size_t i, double t)
{
    double next;
    select_f64(v, n, i);
    if (i + 1 >= n) return v[i];
    next = v[i + 1];
    for (size_t j = i + 2; j < n; j++)
        next = v[j] < next ? v[j] : next;
    return between(v[i], next, next - v[i], t);
}

double select_quantile(double *v, size_t n, double q)
{
    double t;
    size_t i = position(n, q, &t);
    return select_quantile_at(v, n, i, t);
}

double select_quantile_f32(float *v, size_t n, double q)
{
    double t;
    float next;
    size_t i = position(n, q, &t);
    select_f32(v, n, i);
    if (i + 1 >= n) return (double)v[i];
    next = v[i + 1];
    for (size_t j = i + 2; j < n; j++)
        next = v[j] < next ? v[j] : next;
    return between((double)v[i], (double)next, (double)(next - v[i]), t);
}
