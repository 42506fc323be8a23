/* A Gaussian mixture with one covariance for all components, by expectation and maximisation as scikit-learn's
 * GaussianMixture(covariance_type="tied") has it, started from k-means with seeded k-means++ centres.  f64; sums over
 * fixed parts of the rows, so that the number of threads changes nothing. */
#ifndef OUTPOST_MIXTURE_H
#define OUTPOST_MIXTURE_H

#include "score/stats/budget.h"

#include <stdint.h>

typedef struct mixture {
    size_t k, q;
    double *mean;   /* [k,q] */
    double *weight; /* [k] */
    double *whiten; /* [q,q] inverse of the Cholesky factor of the covariance, lower */
    size_t steps;   /* of the maximisation */
    int converged;
} mixture;

#define MIXTURE_RIDGE 1e-6 /* added to the variances */
#define MIXTURE_TOLERANCE 1e-3 /* least gain of the mean log likelihood */
enum { MIXTURE_STEPS = 100, KMEANS_STEPS = 300 };

/* y [n,q], n >= k.  ERR_INTERNAL when the covariance has no factor. */
int mixture_fit(mixture *m, const double *y, size_t n, size_t q, size_t k, uint64_t seed, budget *mem);
void mixture_clear(mixture *m, budget *mem);
/* log sum_k weight_k exp(-d_k / 2), d_k squared Mahalanobis distances of y [q] */
double mixture_log(const mixture *m, const double *y);

#endif
