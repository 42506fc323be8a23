/* y = a + b, with KF_RELU then max(y, 0): the end of a residual block.
 *   x0, x1, y  [n,h,w,c]; y may be either operand
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float add(float a, float b, int relu)
{
    float y = a + b;
    return relu ? op_relu(y) : y;
}
#ifndef __CUDACC__
int add_fwd_cpu(const op_args *a)
{
    size_t count = op_count(a);
    int relu = (a->flags & KF_RELU) != 0;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        a->y[i] = add(a->x[0][i], a->x[1][i], relu);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x0, const float *x1, float *y, int relu, size_t count)
{
    GRID_STRIDE(i, count) y[i] = add(x0[i], x1[i], relu);
}

OP_API int add_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->x[1], a->y, (a->flags & KF_RELU) != 0, count);
    return launched("add forward");
}
#endif
