/* Norm of the part of a feature that lies outside the principal space (Residual, ViM). */
#ifndef OUTPOST_RESIDUAL_H
#define OUTPOST_RESIDUAL_H

#include "score/stats/fit.h"

/* norm [n] = || R (h - u) ||_2 */
int residual_norms(const residual_space *r, const float *h, size_t n, float *norm);
/* Number of leading directions to drop: "auto" (ViM: 1000 from 2048 on, 512 from 768 on, else half),
 * "gen" (1000 from 2048 on, else 512), "openood" (256), or a number.  FIT_REFUSED when nothing would be left. */
int residual_dim(fit_context *f, const char *rule, size_t *dim);

#endif
