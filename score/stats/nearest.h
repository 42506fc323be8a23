/* The train rows as a bank to search, and the neighbours of test rows: built and searched once for all
 * methods and options that ask. */
#ifndef OUTPOST_NEAREST_H
#define OUTPOST_NEAREST_H

#include "score/method.h"

/* Announces that rank `rank` (from 0, below the train rows) will be asked for; to be called from fit.
 * normalised: train and test rows are h / |h|_2 + 1e-10, in f64, rounded to f32; a row of zeros has no
 * direction and is 1e-10 everywhere.  ERR_USAGE for more than NEAREST_RANKS ranks. */
enum { NEAREST_RANKS = 256 };
int fit_nearest(fit_context *f, int normalised, size_t rank);
/* Squared distances [n] of the block's rows to their neighbour of that rank: element i is (*of)[i * *step]. */
int block_nearest(const score_block *b, int normalised, size_t rank, const double **of, size_t *step);

/* For fit.c and shared.c. */
typedef struct nearest_bank nearest_bank;
void nearest_close(fit_context *f);
void nearest_next(block_cache *k);
void nearest_release(block_cache *k);

#endif
