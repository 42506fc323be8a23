/* Weibull distribution of the largest distances of a class, as libMR's fit_high has it: the tail is
 * shifted so that its least value is 10000, and two parameters are fitted by maximum likelihood.
 *   t = v + 10000 - min(v);  shape a: sum t^a log t / sum t^a - 1/a - mean log t = 0;
 *   scale = (mean t^a)^(1/a);  w(x) = 1 - exp(-((x + shift) / scale)^a)
 * The shape is of the order of 1e4, t^a far beyond f64: all powers are taken of t / max t, as logarithms. */
#ifndef OUTPOST_WEIBULL_H
#define OUTPOST_WEIBULL_H

#include <stddef.h>

typedef struct weibull {
    double least, most; /* of the values */
    double shape;       /* 0: no values, w = 0; infinite: all equal, a step */
    double log_mean;    /* log mean (t / max t)^shape */
} weibull;

/* v [n] in any order. */
void weibull_fit_high(weibull *w, const double *v, size_t n);
/* In [0, 1].  No values: 0.  Equal values: 0 below, 1 - 1/e at, 1 above them (the limit; libMR fails). */
double weibull_cdf(const weibull *w, double x);

#endif
