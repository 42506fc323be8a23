/* Sum of the squares of each row, float64 in fixed order (kernels/lanes.h).
 *   x0  f64 [n,h,w,c]      y  f64 [n h w]
 * Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/lanes.h"
#include "kernels/table.h"

#ifndef __CUDACC__
int row_squares_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const double *x = a->x[0];
    double *y = a->y;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        double lane[LANES] = { 0 };
        for (size_t k = 0; k < c; k++)
            lane[k % LANES] += x[r * c + k] * x[r * c + k];
        y[r] = lanes_join(lane, lanes_sum);
    }
    return 0;
}
#else
static __global__ void fwd(const double *x, double *y, int c, size_t rows)
{
    __shared__ double part[WARPS];
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        double sum = 0;
        for (int k = (int)threadIdx.x; k < c; k += BLOCK) {
            double v = x[r * (size_t)c + k];
            sum += v * v;
        }
        sum = lanes_join(sum, part, lanes_sum);
        if (threadIdx.x == 0) y[r] = sum;
    }
}

OP_API int row_squares_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    launch_joined(fwd, grid_of(rows), a->stream, (const double *)a->x[0], (double *)a->y, a->c, rows);
    return launched("sums of squares");
}
#endif
