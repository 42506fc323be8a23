/* How CUDA twins are launched: one grid shape, one loop, one check.  Read by nvcc only. */
#ifndef OUTPOST_LAUNCH_H
#define OUTPOST_LAUNCH_H

#include <cuda_runtime_api.h>

enum { BLOCK = 256, BLOCKS_MAX = 1 << 16 };

/* Threads stride over the work, so any grid is right; 65536 blocks fill every GPU there is. */
static inline unsigned blocks_for(size_t work)
{
    size_t blocks = (work + BLOCK - 1) / BLOCK;
    return blocks == 0 ? 1u : blocks > BLOCKS_MAX ? (unsigned)BLOCKS_MAX : (unsigned)blocks;
}

#define GRID_STRIDE(i, count)                                                                      \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (count);                    \
         i += (size_t)gridDim.x * blockDim.x)

/* i = quotient * by + remainder.  GPUs have no 64-bit division; below 2^32 the 32-bit one does. */
static __device__ __forceinline__ size_t divide(size_t i, int by, int *remainder)
{
    if (i >> 32) {
        size_t q = i / (size_t)by;
        *remainder = (int)(i - q * (size_t)by);
        return q;
    }
    unsigned q = (unsigned)i / (unsigned)by;
    *remainder = (int)((unsigned)i - q * (unsigned)by);
    return q;
}

/* Takes the launch's error, if any, to err_set: 0 or ERR_*.  In extract/cuda/errors.c. */
OP_API int launched(const char *kernel);

#endif
