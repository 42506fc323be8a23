#include "extract/ref_parts.h"

#include <math.h>

static size_t area_of(const node *v)
{
    return (size_t)v->out.h * (size_t)v->out.w;
}

/* Mean and 1 / sqrt(var + eps) of n values `step` apart, in two passes. */
static void statistics(const double *x, size_t n, size_t step, double eps, double *mean,
                       double *factor)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i * step];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i * step] - *mean) * (x[i * step] - *mean);
    *factor = 1 / sqrt(squares / (double)n + eps);
}

void ref_groupnorm(const node *v, const float *gamma, const float *beta, const double *x, double *y)
{
    size_t area = area_of(v), per = (size_t)(v->out.c / v->groups) * area;
    for (size_t g = 0; g < (size_t)v->groups; g++) {
        double mean, factor;
        statistics(x + g * per, per, 1, (double)v->eps, &mean, &factor);
        for (size_t i = g * per; i < (g + 1) * per; i++)
            y[i] = (x[i] - mean) * factor * (double)gamma[i / area] + (double)beta[i / area];
    }
}

void ref_layernorm(const node *v, const float *gamma, const float *beta, const double *x, double *y)
{
    size_t area = area_of(v), c = (size_t)v->out.c;
    for (size_t t = 0; t < area; t++) {
        double mean, factor;
        statistics(x + t, c, area, (double)v->eps, &mean, &factor);
        for (size_t k = 0; k < c; k++)
            y[k * area + t] = (x[k * area + t] - mean) * factor * (double)gamma[k] + (double)beta[k];
    }
}
