/* What the scores of Gaussians share.  Gaussians and distances lie in the fit and in the block
 * (score/stats/gaussian.h), so there is no state. */
#ifndef OUTPOST_MDS_H
#define OUTPOST_MDS_H

#include "score/stats/gaussian.h"

/* out [n] = -min_k (h - m_k)' P (h - m_k), `which` as there */
int mds_score(const score_block *b, int which, float *out);
/* The Gaussian of `which` and that of all rows together; out [n] = -min_k d_k + d_0 */
int rmds_fit(fit_context *f, int which);
int rmds_score(const score_block *b, int which, float *out);
void mds_free(void **state);

#endif
