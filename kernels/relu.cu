/* ReLU: y = max(x, 0); NaN stays NaN, as in torch.
 *   x0, y  [n,h,w,c]; y may be x0
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float relu(float x)
{
    return op_relu(x);
}
#ifndef __CUDACC__
int relu_fwd_cpu(const op_args *a)
{
    size_t count = op_count(a);
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        a->y[i] = relu(a->x[0][i]);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, size_t count)
{
    GRID_STRIDE(i, count) y[i] = relu(x[i]);
}

OP_API int relu_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(a->x[0], a->y, count);
    return launched("relu forward");
}
#endif
