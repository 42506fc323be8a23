/* Logits of rows: h W' + b in f32, product first and bias after, as the numpy scripts do; or the
 * stored ones of the file. */
#ifndef OUTPOST_LOGITS_H
#define OUTPOST_LOGITS_H

#include "score/engine.h"
#include "score/stats/rowmath.h"

/* Whether the logits of s can be had, and whether they come from the file. */
int logits_available(const engine_options *o, const source *s);
int logits_stored(const engine_options *o, const source *s);
/* z [n,c] of rows [begin, begin+n), whose features are h (may be NULL when stored).  *v points to z
 * or into the file. */
int logits_of_rows(fit_context *f, const source *s, size_t begin, size_t n, const float *h, float *z,
                   const float **v);
/* z [n,c] = h w' + b */
int logits_compute(fit_context *f, const float *h, size_t n, float *z);
/* Softmax of n rows; p (may be NULL, may be z), sums [n].  ERR_INPUT when a logit is not finite. */
int logits_softmax(const rowmath *m, const source *s, size_t begin, const float *z, size_t n,
                   size_t c, float *p, row_sums *sums);

#endif
