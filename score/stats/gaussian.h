/* Gaussians of the train features, fitted once for all methods that ask, and the distances of test rows, measured
 * once for each block.  `which`: GAUSSIAN_UNIT, GAUSSIAN_POOLED (within.h). */
#ifndef OUTPOST_GAUSSIAN_H
#define OUTPOST_GAUSSIAN_H

#include "score/stats/shared.h"
#include "score/stats/within.h"

/* From fit; *out may be NULL.  FIT_REFUSED as within_fit. */
int fit_gaussian(fit_context *f, int which, const whitening **out);
/* distance [n] = min_k (h - m_k)' P (h - m_k); infinite beyond f32 */
int block_gaussian(const score_block *b, int which, const double **distance);

/* For fit.c and shared.c. */
void gaussian_close(fit_context *f);
void gaussian_next(block_cache *k);
void gaussian_release(block_cache *k);

#endif
