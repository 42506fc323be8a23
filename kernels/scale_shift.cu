/* y = x * scale[c] + shift[c], with KF_RELU then max(y, 0): batch norm at inference, where
 * scale = gamma / sqrt(var + eps) and shift = beta - mean * scale, both made in double and rounded
 * once (models.md section 13.2).  For the norms that cannot be folded into a convolution.
 * Product and sum are rounded one by one on both sides (nvcc runs with -fmad=false).
 *   x0, y  [n,h,w,c]; y may be x0      x1 scale [c]      x2 shift [c]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float scale_shift(float x, float scale, float shift, int relu)
{
    float p = x * scale;
    float y = p + shift;
    return relu ? op_relu(y) : y;
}
#ifndef __CUDACC__
int scale_shift_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    int relu = (a->flags & KF_RELU) != 0;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++)
            a->y[r * c + k] = scale_shift(a->x[0][r * c + k], a->x[1][k], a->x[2][k], relu);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, const float *scale, const float *shift, float *y, int c,
                           int relu, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        divide(i, c, &k);
        y[i] = scale_shift(x[i], scale[k], shift[k], relu);
    }
}

OP_API int scale_shift_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->x[1], a->x[2], a->y, a->c, (a->flags & KF_RELU) != 0, count);
    return launched("scale and shift forward");
}
#endif
