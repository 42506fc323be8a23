/* The generalised entropy of GEN, shared by its four rows. */
#ifndef OUTPOST_GENTROPY_H
#define OUTPOST_GENTROPY_H

#include "score/method.h"

#define GEN_OPTS                                                                                   \
    {"gamma", "0.1", "exponent", 0, 100, NULL, 0},                                                 \
    {                                                                                              \
        "m", "100", "how many of the largest probabilities count", 1, 1e9, NULL, 1                 \
    }

/* out[i] = -sum over the m largest of p^gamma (1 - p)^gamma, p [n,c] f32, no renormalisation.  The
 * two powers are one, of p (1 - p): 1e-7 relative from the published pair.  0 and 1 count 0. */
void gentropy(const float *p, size_t n, size_t c, double gamma, size_t m, float *out);
/* Of a block, with the options gamma and m. */
void gentropy_rows(const method_params *params, const float *p, size_t n, size_t c, float *out);

#endif
