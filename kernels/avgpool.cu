/* Average pooling: y = sum of the window / divisor, the divisor being the number of real elements or,
 * with KF_COUNT_PAD, of positions up to the padded border (torch's count_include_pad; a window that
 * ceil mode lets hang over that border counts only what lies inside it).
 * The sum is taken in double, row by row, and rounded once, so it does not depend on its order.
 *   x0 [n,h,w,c]      y [n,oh,ow,c]      kernel, stride, pad; KF_CEIL, KF_COUNT_PAD
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

/* x: element (image, 0, 0, channel); rows are w * c apart. */
OP_MATH float avgpool(const float *x, int i, int j, int h, int w, int c, int kernel, int stride,
                      int pad, int count_pad)
{
    int top, bottom, left, right;
    int high = op_window(i, h, kernel, stride, pad, &top, &bottom);
    int wide = op_window(j, w, kernel, stride, pad, &left, &right);
    double sum = 0.0;
    for (int r = top; r < bottom; r++)
        for (int q = left; q < right; q++)
            sum += (double)x[((size_t)r * (size_t)w + (size_t)q) * (size_t)c];
    if (!count_pad) {
        high = bottom - top;
        wide = right - left;
    }
    return (float)(sum / ((double)high * (double)wide));
}
#ifndef __CUDACC__
int avgpool_fwd_cpu(const op_args *a)
{
    size_t image = (size_t)a->h * (size_t)a->w * (size_t)a->c;
    size_t lines = (size_t)a->n * (size_t)a->oh;
    int count_pad = (a->flags & KF_COUNT_PAD) != 0;
#pragma omp parallel for
    for (size_t l = 0; l < lines; l++) {
        const float *x = a->x[0] + l / (size_t)a->oh * image;
        int i = (int)(l % (size_t)a->oh);
        float *y = a->y + l * (size_t)a->ow * (size_t)a->c;
        for (int j = 0; j < a->ow; j++)
            for (int k = 0; k < a->c; k++)
                *y++ = avgpool(x + k, i, j, a->h, a->w, a->c, a->kernel, a->stride, a->pad,
                               count_pad);
    }
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, int h, int w, int c, int oh, int ow,
                           int kernel, int stride, int pad, int count_pad, size_t count)
{
    size_t image = (size_t)h * (size_t)w * (size_t)c;
    GRID_STRIDE(o, count)
    {
        int i, j, k;
        size_t n = divide(divide(divide(o, c, &k), ow, &j), oh, &i);
        y[o] = avgpool(x + n * image + k, i, j, h, w, c, kernel, stride, pad, count_pad);
    }
}

OP_API int avgpool_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->c;
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->y, a->h, a->w, a->c, a->oh, a->ow, a->kernel, a->stride, a->pad,
        (a->flags & KF_COUNT_PAD) != 0, count);
    return launched("average pool forward");
}
#endif
