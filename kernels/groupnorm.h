/* Group norm: y = act((x - mean) / sqrt(var + eps) * gamma[c] + beta[c]), mean and var (divided by the
 * count) of one image's c / groups neighbouring channels over h and w (Wu and He 2018, arXiv:1803.08494).
 * Three kernels, so that a large map of a few groups fills a GPU: groupnorm_sum, the moments of each chunk
 * of pixels; groupnorm_join, those of the map; groupnorm.  Chunks depend on the map alone, and all sums
 * have a fixed order, so no two runs or batches differ. */
#ifndef OUTPOST_KERNEL_GROUPNORM_H
#define OUTPOST_KERNEL_GROUPNORM_H

#include "kernels/op.h"

enum { GROUPNORM_CHUNK = 16384 }; /* elements of a chunk: 64 for each thread of a block */

/* Pixels of a chunk, with all their channels. */
OP_MATH int groupnorm_pixels(int c)
{
    return c < GROUPNORM_CHUNK ? GROUPNORM_CHUNK / c : 1;
}

OP_MATH int groupnorm_chunks(int plane, int c)
{
    return (plane - 1) / groupnorm_pixels(c) + 1;
}

/* Moments that are no numbers say so twice: a group with infinities or NaN is NaN throughout. */
OP_MATH void groupnorm_put(float *y, double mean, double squares)
{
    int sound = mean - mean == 0.0 && squares - squares == 0.0 && squares < 3.4e38;
    y[0] = sound ? (float)mean : NAN;
    y[1] = sound ? (float)squares : NAN;
}

#endif
