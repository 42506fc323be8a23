/* Rows in float64, taken from an origin: y = (double)x - origin.  For sums of squares, where float32
 * would cancel.
 *   x0  f32 [n,h,w,c]      y  f64 [n,h,w,c]
 *   x1  f64 [groups,c]     origins; not read when groups is 0
 *   x2  i32 [n h w]        origin of each row, read when groups > 1; a negative one gives a row of zeros
 * Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH double widened(float x, const double *origin, size_t c)
{
    return origin != NULL ? (double)x - origin[c] : (double)x;
}
#ifndef __CUDACC__
int widen_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const float *x = a->x[0];
    const double *origins = a->groups > 0 ? a->x[1] : NULL;
    const int32_t *of = a->groups > 1 ? a->x[2] : NULL;
    double *y = a->y;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const double *origin = of != NULL && of[r] >= 0 ? origins + (size_t)of[r] * c : origins;
        for (size_t k = 0; k < c; k++)
            y[r * c + k] = of != NULL && of[r] < 0 ? 0 : widened(x[r * c + k], origin, k);
    }
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, const double *origins, const int32_t *of, double *y,
                           divisor c, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        size_t r = divide(i, c, &k);
        int at = of != nullptr ? of[r] : 0;
        const double *origin = origins != nullptr && at >= 0 ? origins + (size_t)at * c.by : origins;
        y[i] = at < 0 ? 0.0 : widened(x[i], origin, (size_t)k);
    }
}

OP_API int widen_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    launch(fwd, blocks_for(count), a->stream, op_f32(a, 0),
           (const double *)(a->groups > 0 ? a->x[1] : nullptr),
           (const int32_t *)(a->groups > 1 ? a->x[2] : nullptr), (double *)a->y, divisor_of(a->c),
           count);
    return launched("widening");
}
#endif
