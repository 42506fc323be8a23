/* Reading the rows of a set block by block. */
#ifndef OUTPOST_ROWS_H
#define OUTPOST_ROWS_H

#include "score/source.h"
#include "score/stats/budget.h"

/* Rows of a train block.  Fixed, so that sums do not depend on --memory. */
enum { TRAIN_ROWS = 512 };

/* Calls fn with every block of features [n,d] in row order; stops at the first error. */
typedef int (*rows_fn)(void *arg, size_t begin, size_t n, size_t d, const float *v);
int rows_each(const source *s, budget *mem, rows_fn fn, void *arg);
/* ERR_INPUT naming the set, the file and the row when a value [n,d] is NaN or infinite. */
int rows_check_finite(const source *s, size_t begin, size_t n, size_t d, const float *v,
                      const char *what);
/* ERR_INPUT when the set is empty or narrower or wider than d (c); 0 means any. */
int rows_check_shape(const source *s, size_t d, size_t c, const char *like);

#endif
