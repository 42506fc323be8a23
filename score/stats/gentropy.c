#include "score/stats/gentropy.h"
#include "score/stats/topk.h"

#include <math.h>

static inline double term(float p, float gamma)
{
    return (double)powf(p * (1.0f - p), gamma);
}

static double top_sum(const float *p, size_t c, float gamma, size_t m)
{
    size_t larger;
    float least = topk_least(p, c, m, &larger);
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
