/* The generalised entropy of GEN, shared by its four rows. */
#ifndef OUTPOST_GENTROPY_H
#define OUTPOST_GENTROPY_H

#include "score/method.h"

#define GEN_OPTS                                                                                   \
    {"gamma", "0.1", "exponent", 0, 100, NULL, 0},                                                 \
    {                                                                                              \
        "m", "100", "how many of the largest probabilities count", 1, 1e9, NULL, 1                 \
    }

typedef struct gentropy_use { /* one setting and where its scores go */
    double gamma;
    size_t m;
    float *out; /* [n] */
} gentropy_use;

/* out[i] = -sum over the m largest of p^gamma (1 - p)^gamma, p [n,c] f32, no renormalisation.  The
 * two powers are one, of p (1 - p): 1e-7 relative from the published pair.  0 and 1 count 0 (gamma 0: all count 1). */
int gentropy(const float *p, size_t n, size_t c, double gamma, size_t m, float *out);
/* Many settings of the same rows: the logarithms, and the selection for each m, are shared.  Each setting gets
 * the bits that it gets alone. */
int gentropy_many(const float *p, size_t n, size_t c, const gentropy_use *v, size_t n_uses);
/* From the options gamma and m. */
gentropy_use gentropy_use_of(const method_params *params, float *out);
int gentropy_rows(const method_params *params, const float *p, size_t n, size_t c, float *out);

#endif
