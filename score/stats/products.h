/* The quantile of all products a_d w_cd of a head, for many a: what LINe needs for every class. */
#ifndef OUTPOST_PRODUCTS_H
#define OUTPOST_PRODUCTS_H

#include "score/stats/budget.h"

/* value[k] = numpy's quantile q of all (double)a[k,d] * w[c,d], k < n; a [n,d] >= 0, w [c,d].
 * Exact: counts by the upper 16 bits of the f64 keys, then selection among the products of the bins that hold
 * the two neighbours in rank. */
int products_quantile(const double *a, size_t n, const float *w, size_t c, size_t d, double q,
                      budget *mem, double *value);

#endif
