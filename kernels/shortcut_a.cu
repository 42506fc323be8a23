/* The parameter-free shortcut of CIFAR ResNets: every second row and column, and zero channels on
 * both sides: y[n,i,j,y_at + k] = x[n,2i,2j,k] for k < c, 0 in every other channel.
 * He et al., CVPR 2016, arXiv:1512.03385, option A, as akamaster's pytorch_resnet_cifar10 has it:
 * there y_c = 2c and y_at = c/2.
 *   x0 [n,h,w,c]      y [n,oh,ow,y_c], oh = ceil(h/2), ow = ceil(w/2)
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

/* x: element (image, 0, 0, 0); k: channel of y. */
OP_MATH float shortcut_a(const float *x, int i, int j, int k, int w, int c, int first)
{
    if (k < first || k >= first + c) return 0.0f;
    return x[((size_t)(2 * i) * (size_t)w + (size_t)(2 * j)) * (size_t)c + (size_t)(k - first)];
}
#ifndef __CUDACC__
int shortcut_a_fwd_cpu(const op_args *a)
{
    size_t image = (size_t)a->h * (size_t)a->w * (size_t)a->c;
    size_t lines = (size_t)a->n * (size_t)a->oh;
#pragma omp parallel for
    for (size_t l = 0; l < lines; l++) {
        const float *x = a->x[0] + l / (size_t)a->oh * image;
        int i = (int)(l % (size_t)a->oh);
        float *y = a->y + l * (size_t)a->ow * (size_t)a->y_c;
        for (int j = 0; j < a->ow; j++)
            for (int k = 0; k < a->y_c; k++)
                *y++ = shortcut_a(x, i, j, k, a->w, a->c, a->y_at);
    }
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, int h, int w, int c, int oh, int ow, int y_c,
                           int y_at, size_t count)
{
    size_t image = (size_t)h * (size_t)w * (size_t)c;
    GRID_STRIDE(o, count)
    {
        int i, j, k;
        size_t n = divide(divide(divide(o, y_c, &k), ow, &j), oh, &i);
        y[o] = shortcut_a(x + n * image, i, j, k, w, c, y_at);
    }
}

OP_API int shortcut_a_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->y_c;
    fwd<<<blocks_for(count), BLOCK, 0, (cudaStream_t)a->stream>>>(
        a->x[0], a->y, a->h, a->w, a->c, a->oh, a->ow, a->y_c, a->y_at, count);
    return launched("option A shortcut forward");
}
#endif
