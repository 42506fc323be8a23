/* Reductions of a row in float64 whose bits are those of BLOCK threads: thread t takes elements t, t + 256,
 * ... in order; then pairs at distance 16, 8, 4, 2, 1 within a warp, then the warps in order.  The CPU
 * twin does the same with an array, so that the twins agree to the bit. */
#ifndef OUTPOST_KERNEL_LANES_H
#define OUTPOST_KERNEL_LANES_H

#include "kernels/op.h"

OP_MATH double lanes_sum(double a, double b)
{
    return a + b;
}

OP_MATH double lanes_least(double a, double b)
{
    return b < a ? b : a;
}

#ifndef __CUDACC__
enum { LANES = 256, LANES_WARP = 32 };

/* v[LANES] is overwritten. */
static inline double lanes_join(double *v, double (*join)(double, double))
{
    for (int d = LANES_WARP / 2; d > 0; d /= 2)
        for (int t = 0; t < LANES; t++)
            if ((t % LANES_WARP) < d) v[t] = join(v[t], v[t + d]);
    for (int w = LANES_WARP; w < LANES; w += LANES_WARP)
        v[0] = join(v[0], v[w]);
    return v[0];
}
#else
#include "kernels/rows.h"

/* Sums of two and least of two commute, so the block's tree computes what the CPU twin does. */
template <typename Join> static __device__ __forceinline__ double lanes_join(double v, double *part, Join join)
{
    return team_join<BLOCK>(v, part, join);
}
#endif

#endif
