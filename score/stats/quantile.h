/* Exact quantile of many f32 values without sorting: numpy's linear interpolation.
 * Two passes: counts by the upper 16 bits of an order-preserving key, then counts by the lower 16
 * bits within the one or two classes that hold the two neighbours in rank.
 *   position v = q (n - 1), i = floor(v), t = v - i;  a_i + (a_(i+1) - a_i) t, and from the upper
 *   neighbour when t >= 0.5, as numpy evaluates it. */
#ifndef OUTPOST_QUANTILE_H
#define OUTPOST_QUANTILE_H

#include "score/source.h"
#include "score/stats/budget.h"

#include <stdint.h>

enum { QUANTILE_BINS = 65536, QUANTILE_LANES = 4 };

/* Of the upper halves of the keys; mergeable by adding.  Lanes let threads count without sharing. */
typedef struct quantile_counts {
    uint64_t n;
    uint64_t bin[QUANTILE_LANES][QUANTILE_BINS];
} quantile_counts;

/* Adds n values (no NaN).  -0.0 counts as 0.0. */
void quantile_count(quantile_counts *h, const float *v, size_t n);
/* The quantile of all features of s; `coarse` holds their counts already, or is NULL (then one pass
 * more is made).  0 <= q <= 1. */
int quantile_features(const source *s, double q, const quantile_counts *coarse, budget *mem,
                      double *out);
/* n quantiles from the same pass (one for every 16 or so). */
int quantile_features_many(const source *s, const double *q, size_t n, const quantile_counts *coarse,
                           budget *mem, double *out);
/* Of an array: the plain twin, which sorts; v is reordered. */
double quantile_by_sort(float *v, size_t n, double q);

#endif
