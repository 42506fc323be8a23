/* Max pooling: y = the largest x inside each window.  Padding behaves as minus infinity: windows are
 * clipped to the input (models.md section 1).  A NaN inside the window wins, as in torch.
 *   x0 [n,h,w,c]      y [n,oh,ow,c]      kernel, stride, pad; KF_CEIL: output size rounded up
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float larger(float max, float x)
{
    return x > max || x != x ? x : max;
}

/* x: element (image, 0, 0, channel); rows are w * c apart. */
OP_MATH float maxpool(const float *x, int i, int j, int h, int w, int c, int kernel, int stride,
                      int pad)
{
    int top, bottom, left, right;
    float max = -INFINITY;
    op_window(i, h, kernel, stride, pad, &top, &bottom);
    op_window(j, w, kernel, stride, pad, &left, &right);
    for (int r = top; r < bottom; r++)
        for (int q = left; q < right; q++)
            max = larger(max, x[((size_t)r * (size_t)w + (size_t)q) * (size_t)c]);
    return max;
}
#ifndef __CUDACC__
int maxpool_fwd_cpu(const op_args *a)
{
    size_t image = (size_t)a->h * (size_t)a->w * (size_t)a->c;
    size_t lines = (size_t)a->n * (size_t)a->oh;
#pragma omp parallel for
    for (size_t l = 0; l < lines; l++) {
        const float *x = a->x[0] + l / (size_t)a->oh * image;
        int i = (int)(l % (size_t)a->oh);
        float *y = a->y + l * (size_t)a->ow * (size_t)a->c;
        for (int j = 0; j < a->ow; j++)
            for (int k = 0; k < a->c; k++)
                *y++ = maxpool(x + k, i, j, a->h, a->w, a->c, a->kernel, a->stride, a->pad);
    }
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, int h, int w, int c, int oh, int ow,
                           int kernel, int stride, int pad, size_t count)
{
    size_t image = (size_t)h * (size_t)w * (size_t)c;
    GRID_STRIDE(o, count)
    {
        int i, j, k;
        size_t n = divide(divide(divide(o, c, &k), ow, &j), oh, &i);
        y[o] = maxpool(x + n * image + k, i, j, h, w, c, kernel, stride, pad);
    }
}

OP_API int maxpool_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->c;
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->y, a->h, a->w, a->c, a->oh, a->ow, a->kernel, a->stride, a->pad, count);
    return launched("max pool forward");
}
#endif
