/* The largest singular component of a matrix, exactly: for what is removed from maps (RankFeat) and from
 * weights (RankWeight). */
#ifndef OUTPOST_SINGULAR_H
#define OUTPOST_SINGULAR_H

#include <stddef.h>

enum { SINGULAR_NONE = 1 };

/* a [rows, cols] without it: a - sigma u v', where a = sum sigma_i u_i v_i'.  Lanczos on a a' or a' a,
 * restarted until the residual of the vector on the smaller side is below 1e-13 sigma^2; of equal largest
 * values, one combination goes.  A matrix of zeros stays.  The same bits whatever the threads.
 * 0; SINGULAR_NONE where there is none to be found (values that are not finite, or whose squares are not), a is
 * as it was; or -1 without memory. */
int singular_deflate(double *a, size_t rows, size_t cols);

#endif
