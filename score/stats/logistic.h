/* Logistic regression of two classes as scikit-learn's LogisticRegressionCV has it by default: L2 on the weights and
 * not on the intercept, C out of logspace(-4, 4, 10) by mean accuracy over 5 stratified folds in the order of the rows
 * (the first of equal ones), then fitted on all rows. */
#ifndef OUTPOST_LOGISTIC_H
#define OUTPOST_LOGISTIC_H

#include <stddef.h>

enum { LOGISTIC_MAX = 64 };

/* w [d+1], the intercept last; least sum of log(1 + exp(-s (w x + w_d))) C + |w|^2 / 2, s = 1 or -1 by y [n] != 0.
 * Newton's method with halved steps, to the last bits.  skip [n]: rows that do not count; NULL: none.
 * ERR_ENV without memory. */
int logistic_fit(const double *x, const unsigned char *y, const unsigned char *skip, size_t n, size_t d, double c,
                 double *w);
/* *c: the C that was chosen.  Each class has at least 5 rows. */
int logistic_fit_cv(const double *x, const unsigned char *y, size_t n, size_t d, double *w, double *c);
double logistic_odds(const double *w, const double *x, size_t d);

#endif
