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

/* Of n values `step` apart, gamma of the i-th being gamma[i / per]: with h = d gamma and x' normalised,
 * (h - mean(h) - x' mean(h x')) / sqrt(var + eps). */
static void norm_back(const float *gamma, size_t per, const double *d, const double *x, size_t n,
                      size_t step, double eps, double *y)
{
    double mean, factor, sum = 0, product = 0;
    statistics(x, n, step, eps, &mean, &factor);
    for (size_t i = 0; i < n; i++) {
        double h = d[i * step] * (double)gamma[i / per];
        sum += h / (double)n;
        product += h * (x[i * step] - mean) * factor / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        y[i * step] = (d[i * step] * (double)gamma[i / per] - sum -
                       (x[i * step] - mean) * factor * product) * factor;
}

void ref_groupnorm_back(const node *v, const float *gamma, const double *d, const double *x, double *y)
{
    size_t area = area_of(v), channels = (size_t)(v->out.c / v->groups), n = channels * area;
    for (size_t g = 0; g < (size_t)v->groups; g++)
        norm_back(gamma + g * channels, area, d + g * n, x + g * n, n, 1, (double)v->eps, y + g * n);
}

void ref_layernorm_back(const node *v, const float *gamma, const double *d, const double *x, double *y)
{
    size_t area = area_of(v);
    for (size_t t = 0; t < area; t++)
        norm_back(gamma, 1, d + t, x + t, (size_t)v->out.c, area, (double)v->eps, y + t);
}
