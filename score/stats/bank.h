/* A sample of the rows of a set, in memory. */
#ifndef OUTPOST_BANK_H
#define OUTPOST_BANK_H

#include "score/stats/budget.h"
#include "score/source.h"

/* h [n,d] = the features of rows row[0..n-1].  ERR_INPUT when one is not finite. */
int bank_features(const source *s, const size_t *row, size_t n, float *h);
/* z [n,c] = their stored logits */
int bank_logits(const source *s, const size_t *row, size_t n, float *z);

#endif
