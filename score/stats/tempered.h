/* Softmax at a temperature, exact where f32 exponentials would not be: at T = 1000 the differences between
 * scores are in the sixth digit. */
#ifndef OUTPOST_TEMPERED_H
#define OUTPOST_TEMPERED_H

#include "score/method.h"

/* log sum_c exp(scale z_c), f64; any sign of scale.  *top: the largest scale z_c. */
double tempered_lse(const float *z, size_t c, double scale, double *top);
/* out [n] = max_c softmax(z / t)_c */
void tempered_msp(const score_block *b, double t, float *out);

#endif
