/* The classifier on changed features: most methods over features are z' = W h' + b and its energy. */
#ifndef OUTPOST_SHAPED_H
#define OUTPOST_SHAPED_H

#include "score/stats/shared.h"

/* Writes h' [d] of row i of the block; called from several threads. */
typedef void (*shape_fn)(const void *arg, const score_block *b, size_t i, float *h);

typedef struct shaping {
    shape_fn shape;         /* NULL: h as it is */
    const void *arg;
    const linalg_matrix *w; /* [c,d] instead of the head's weight; NULL: that */
    size_t most;            /* at most so many entries of h' are not zero; 0: unknown */
} shaping;

/* *z [n,c], the caller's to change, valid until the next call with scratch 1 or 2 (block_work).  Rows
 * with few entries are sums of so many columns of W, others a product; which one is a matter of `most`, d and
 * the device alone.  ERR_INPUT when a logit is not finite. */
int shaped_logits(const score_block *b, const shaping *s, float **z);
/* out [n] = log sum_c exp z'_c */
int shaped_energy(const score_block *b, const shaping *s, float *out);
/* out [n] = log sum_c exp z_c of any logits [n,c] */
void energy_of_logits(const score_block *b, const float *z, float *out);
/* Whether b->z are h W' + b, and not the stored ones of the file. */
int shaped_plain(const score_block *b);

#endif
