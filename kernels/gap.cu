/* Global average pool: y = mean of x over h and w.
 * The sum is taken in double in row-major order and rounded once.
 *   x0 [n,h,w,c]      y [n,c]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

/* x: element (image, 0, 0, channel), its neighbours c apart. */
OP_MATH float gap(const float *x, size_t plane, int c)
{
    double sum = 0.0;
    for (size_t p = 0; p < plane; p++)
        sum += (double)x[p * (size_t)c];
    return (float)(sum / (double)plane);
}
#ifndef __CUDACC__
int gap_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w, count = (size_t)a->n * c;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        a->y[i] = gap(a->x[0] + i / c * plane * c + i % c, plane, a->c);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, size_t plane, int c, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        size_t n = divide(i, c, &k);
        y[i] = gap(x + n * plane * (size_t)c + k, plane, c);
    }
}

OP_API int gap_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->c;
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->y, (size_t)a->h * (size_t)a->w, a->c, count);
    return launched("global average pool forward");
}
#endif
