/* Copies a slice of channels: y[row, y_at + k] = x[row, x_at + k] for k < c.  A concatenation is one
 * such copy per part; the other channels of y keep what they hold.
 *   x0 [n,h,w,x_c]      y [n,h,w,y_c]; the two do not overlap
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH size_t slice_index(size_t row, int channels, int first, int k)
{
    return row * (size_t)channels + (size_t)first + (size_t)k;
}
#ifndef __CUDACC__
int copy_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (int k = 0; k < a->c; k++)
            a->y[slice_index(r, a->y_c, a->y_at, k)] =
                a->x[0][slice_index(r, a->x_c, a->x_at, k)];
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, int c, int x_c, int x_at, int y_c, int y_at,
                           size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        size_t r = divide(i, c, &k);
        y[slice_index(r, y_c, y_at, k)] = x[slice_index(r, x_c, x_at, k)];
    }
}

OP_API int copy_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->y, a->c, a->x_c, a->x_at, a->y_c, a->y_at, count);
    return launched("slice copy forward");
}
#endif
