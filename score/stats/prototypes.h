/* One vector per class, f32, that a method keeps after the fit. */
#ifndef OUTPOST_PROTOTYPES_H
#define OUTPOST_PROTOTYPES_H

#include "score/stats/fit.h"

typedef struct prototypes {
    float *m;     /* [c,d]; the zero vector for a class without rows */
    double *norm; /* [c] */
    size_t c, d;
    budget *mem;
} prototypes;

/* Says (log_info) for which method (who) how many classes have none.  FIT_REFUSED as fit_class_means. */
int prototypes_fit(prototypes *q, fit_context *f, class_kind kind, const char *who);
void prototypes_clear(prototypes *q);

/* sum_j a_j b_j and friends, f64 in a fixed order of sixteen lanes */
double rows_dot(const float *a, const float *b, size_t n);
double rows_square(const float *a, size_t n);
double rows_l1(const float *a, size_t n);

#endif
