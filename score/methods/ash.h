/* What the three rows of ASH share.  Djurisic et al., ICLR 2023, arXiv:2209.09858.
 *   k = D - round_half_even(D P / 100) features are kept, the largest; among equal ones the first.
 *   s1 = sum of all features, s2 = sum of the kept ones */
#ifndef OUTPOST_ASH_H
#define OUTPOST_ASH_H

#include "score/stats/shaped.h"

/* exp(s1 / s2) is held below e^60, where f32 logits would overflow soon; 1 when s2 is 0. */
enum { ASH_EXPONENT_MAX = 60 };

#define ASH_OPT(percent)                                                                           \
    {                                                                                              \
        "percentile", percent, "percentage of features that are pruned", 0, 100, NULL, 0           \
    }

typedef struct ash_state {
    size_t k;
    float clip; /* infinite: none */
} ash_state;

/* Refuses a percentile that keeps nothing. */
int ash_fit(fit_context *f, const method_params *p, void **state);
void ash_free(void **state);
/* Zeroes all but the k largest of h [d]. */
void ash_prune(float *h, size_t d, size_t k);
/* exp(s1 / s2) */
double ash_factor(double s1, double s2);

#endif
