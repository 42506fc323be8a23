/* The least element of each row, float64: y[r] = min_k (x1[k] + scale x0[r,k]) + x2[r].
 *   x0  f64 [n,h,w,c]      y  f64 [n h w]
 *   x1  f64 [c], x2 f64 [n h w]; not read when groups is 0
 *   scale  any; with products of rows and means, -2 and the squares of both it gives squared distances
 * No NaN.  Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/lanes.h"
#include "kernels/table.h"

#ifndef __CUDACC__
int row_least_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const double *x = a->x[0], *bias = a->groups > 0 ? a->x[1] : NULL;
    const double *add = a->groups > 0 ? a->x[2] : NULL;
    double *y = a->y, scale = (double)a->scale;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        double lane[LANES];
        for (size_t t = 0; t < LANES; t++)
            lane[t] = INFINITY;
        for (size_t k = 0; k < c; k++)
            lane[k % LANES] = lanes_least(lane[k % LANES],
                                          (bias != NULL ? bias[k] : 0) + scale * x[r * c + k]);
        y[r] = lanes_join(lane, lanes_least) + (add != NULL ? add[r] : 0);
    }
    return 0;
}
#else
static __global__ void fwd(const double *x, const double *bias, const double *add, double scale,
                           double *y, int c, size_t rows)
{
    __shared__ double part[WARPS];
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        double least = INFINITY;
        for (int k = (int)threadIdx.x; k < c; k += BLOCK)
            least = lanes_least(least, (bias != nullptr ? bias[k] : 0) + scale * x[r * (size_t)c + k]);
        least = lanes_join(least, part, lanes_least);
        if (threadIdx.x == 0) y[r] = least + (add != nullptr ? add[r] : 0);
    }
}

OP_API int row_least_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    launch_joined(fwd, grid_of(rows), a->stream, (const double *)a->x[0],
                  (const double *)(a->groups > 0 ? a->x[1] : nullptr),
                  (const double *)(a->groups > 0 ? a->x[2] : nullptr), (double)a->scale,
                  (double *)a->y, a->c, rows);
    return launched("least of rows");
}
#endif
