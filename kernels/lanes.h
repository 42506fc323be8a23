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
#include "kernels/launch.h"

/* Thread 0 gets the result.  Sums of two and least of two commute, so lanes below d see what the CPU
 * twin computes. */
template <typename Join> static __device__ __forceinline__ double lanes_join(double v, double *part, Join join)
{
    for (int d = WARP / 2; d > 0; d /= 2)
        v = join(v, __shfl_xor_sync(0xffffffffu, v, d));
    __syncthreads(); /* part is still being read by the row before */
    if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = v;
    __syncthreads();
    v = part[0];
    for (int w = 1; w < WARPS; w++)
        v = join(v, part[w]);
    return v;
}
#endif

#endif
