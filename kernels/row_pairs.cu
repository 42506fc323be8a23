/* Squared distances of rows to the candidates that row_nearest has found for them, as sums of squared
 * differences, float64 in fixed order (kernels/lanes.h): nothing cancels.
 *   x0  f64 [n,h,w,c]  rows      x1  f64 [any,c]  kept rows
 *   x2  nearest_item [n h w, window + 1]  header and candidates of each row
 *   y   nearest_item [n h w, kernel + 1]  the header, then the candidates with their distances; behind the
 *       last one infinite distances of index -1
 * A header counts at most `kernel` items.  Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/lanes.h"
#include "kernels/nearest.h"
#include "kernels/table.h"

#ifndef __CUDACC__
int row_pairs_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c, most = (size_t)a->kernel;
    const double *x = a->x[0], *kept = a->x[1];
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const nearest_item *from = (const nearest_item *)a->x[2] + r * ((size_t)a->window + 1);
        nearest_item *to = (nearest_item *)a->y + r * (most + 1);
        to[0] = from[0];
        for (size_t i = 1; i <= most; i++) {
            double lane[LANES] = { 0 };
            to[i] = (nearest_item){ INFINITY, -1 };
            if ((int64_t)i > from[0].at) continue;
            for (size_t k = 0; k < c; k++) {
                double t = x[r * c + k] - kept[(size_t)from[i].at * c + k];
                lane[k % LANES] += t * t;
            }
            to[i] = (nearest_item){ lanes_join(lane, lanes_sum), from[i].at };
        }
    }
    return 0;
}
#else
static __global__ void fwd(const double *x, const double *kept, const nearest_item *found, nearest_item *y,
                           int c, divisor most, int window, size_t pairs)
{
    __shared__ double part[WARPS];
    for (size_t pair = blockIdx.x; pair < pairs; pair += gridDim.x) {
        int i;
        size_t r = divide(pair, most, &i);
        const nearest_item *from = found + r * ((size_t)window + 1);
        nearest_item *to = y + r * ((size_t)most.by + 1);
        int64_t at = i < from[0].at ? from[1 + i].at : -1;
        double sum = 0;
        for (int k = (int)threadIdx.x; at >= 0 && k < c; k += BLOCK) {
            double t = x[r * (size_t)c + k] - kept[(size_t)at * (size_t)c + k];
            sum += t * t;
        }
        sum = lanes_join(sum, part, lanes_sum);
        if (threadIdx.x != 0) continue;
        if (i == 0) to[0] = from[0];
        to[1 + i].value = at >= 0 ? sum : (double)INFINITY;
        to[1 + i].at = at;
    }
}

OP_API int row_pairs_fwd_cuda(const op_args *a)
{
    size_t pairs = op_rows(a) * (size_t)a->kernel;
    launch_joined(fwd, grid_of(pairs), a->stream, (const double *)a->x[0], (const double *)a->x[1],
                  (const nearest_item *)a->x[2], (nearest_item *)a->y, a->c, divisor_of(a->kernel), a->window,
                  pairs);
    return launched("distances of rows");
}
#endif
