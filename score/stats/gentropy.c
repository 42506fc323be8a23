#include "score/stats/gentropy.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { DIGITS = 2048 };

static inline uint32_t bits_of(float p)
{
    uint32_t u;
    memcpy(&u, &p, sizeof u);
    return u;
}

static inline double term(float p, float gamma)
{
    return (double)powf(p * (1.0f - p), gamma);
}

/* The m-th largest of p [c], 1 <= m <= c, and how many are larger.  Floats that are not negative are
 * ordered as their bits are: three digits are counted, from the top, within the prefix found so far. */
static float mth_largest(const float *p, size_t c, size_t m, size_t *larger)
{
    static const struct {
        int shift, bits;
    } digit[3] = {{20, 11}, {10, 10}, {0, 10}};
    uint32_t prefix = 0;
    float v;
    *larger = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t count[DIGITS] = {0}, at = (1u << digit[i].bits) - 1;
        int above = digit[i].shift + digit[i].bits;
        for (size_t j = 0; j < c; j++) {
            uint32_t u = bits_of(p[j]);
            if (i == 0 || u >> above == prefix) count[(u >> digit[i].shift) & at]++;
        }
        while (*larger + count[at] < m)
            *larger += count[at--];
        prefix = prefix << digit[i].bits | at;
    }
    memcpy(&v, &prefix, sizeof v);
    return v;
}

static double top_sum(const float *p, size_t c, float gamma, size_t m)
{
    size_t larger;
    float least = mth_largest(p, c, m, &larger);
    double sum = (double)(m - larger) * term(least, gamma);
    for (size_t j = 0; j < c; j++)
        if (p[j] > least) sum += term(p[j], gamma);
    return sum;
}

void gentropy(const float *p, size_t n, size_t c, double gamma, size_t m, float *out)
{
    float g = (float)gamma;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        const float *row = p + i * c;
        double sum = 0;
        if (m < c) sum = top_sum(row, c, g, m);
        else
            for (size_t j = 0; j < c; j++)
                sum += term(row[j], g);
        out[i] = (float)-sum;
    }
}

void gentropy_rows(const method_params *params, const float *p, size_t n, size_t c, float *out)
{
    gentropy(p, n, c, param_double(params, "gamma"), (size_t)param_int(params, "m"), out);
}
