/* Selection without sorting.  f32: order-preserving keys, three digits counted from the top within the
 * prefix found so far; no branch depends on how the values lie, and ties cost nothing. */
#ifndef OUTPOST_TOPK_H
#define OUTPOST_TOPK_H

#include <stddef.h>

/* The k-th largest of v [n], 1 <= k <= n, no NaN, and how many are larger.  -0 counts as 0. */
float topk_least(const float *v, size_t n, size_t k, size_t *larger);
/* Sum of the k largest, f64. */
double topk_sum(const float *v, size_t n, size_t k);
/* k of a percentage p that is taken away: n - round_half_even(n p / 100). */
size_t topk_of_percent(size_t n, double p);

/* numpy's percentile (linear interpolation) of v [n], q in [0, 1]; v is reordered.  No NaN. */
double select_quantile(double *v, size_t n, double q);
/* At position i + t, 0 <= t < 1. */
double select_quantile_at(double *v, size_t n, size_t i, double t);
/* The same of f32 values: the step between neighbours is rounded to f32, as numpy does. */
double select_quantile_f32(float *v, size_t n, double q);

#endif
