/* Rows that a team of threads holds in registers, each thread K elements: the shape of softmax and
 * layernorm on a GPU.  A team is a warp, for rows up to 1024, or a block.  A row's bits depend on nothing
 * but the row: a thread's own elements in order, then a tree of fixed shape.  Read by nvcc only. */
#ifndef OUTPOST_KERNEL_ROWS_H
#define OUTPOST_KERNEL_ROWS_H

#include "kernels/launch.h"

struct join_sum {
    __device__ float operator()(float a, float b) const { return a + b; }
};

struct join_double {
    __device__ double operator()(double a, double b) const { return a + b; }
};

/* All threads of the team get the result, the same bits; joins must commute. */
template <int TEAM, typename T, typename Join>
static __device__ __forceinline__ T team_join(T v, T *part, Join join)
{
    for (int d = WARP / 2; d > 0; d /= 2)
        v = join(v, __shfl_xor_sync(0xffffffffu, v, d));
    if (TEAM == WARP) return v;
    __syncthreads(); /* part is still being read by the join before this one */
    if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = v;
    __syncthreads();
    v = part[0];
    for (int w = 1; w < WARPS; w++)
        v = join(v, part[w]);
    return v;
}

/* The rows of this thread's team; `lane` is its place in the team. */
#define TEAM_ROWS(TEAM, r, lane, rows)                                                             \
    const int lane = (int)threadIdx.x % (TEAM);                                                    \
    for (size_t r = ((size_t)blockIdx.x * BLOCK + threadIdx.x) / (TEAM); r < (rows);               \
         r += (size_t)gridDim.x * BLOCK / (TEAM))

/* f(W-vector i of this thread, its first channel) for those that begin below `end`. */
template <int TEAM, int W, int K, typename F>
static __device__ __forceinline__ void each_vector(int lane, int end, F f)
{
#pragma unroll
    for (int i = 0; i < K / W; i++) {
        int k = (lane + i * TEAM) * W;
        if (k < end) f(i * W, k);
    }
}

/* f(number<TEAM>(), number<K>()) for rows of `length`. */
template <typename F> static inline void by_length(int length, F f)
{
    if (length <= WARP * 8) f(number<WARP>(), number<8>());
    else if (length <= WARP * 32) f(number<WARP>(), number<32>());
    else f(number<BLOCK>(), number<32>());
}

static inline unsigned grid_of_rows(size_t rows, int team)
{
    size_t each = (size_t)(BLOCK / team);
    return grid_of((rows + each - 1) / each);
}

#endif
