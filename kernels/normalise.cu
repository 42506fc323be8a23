/* Image bytes to what a network sees: t = u / 255, y = (t - mean[c]) / std[c].
 * A true division, then a subtraction and a division that are rounded one by one: bit-equal to
 * torchvision's ToTensor and Normalize (models.md section 9).  Multiplying by 1/255 would change 126
 * of the 256 values.
 *   u8 [n,h,w,c] bytes; x0 mean [c], x1 std [c], of values in 0..1
 *   y  [n,h,w,c], or [n,c,h,w] with KF_NCHW
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float normalise(unsigned char u, float mean, float std)
{
    float t = (float)u / 255.0f;
    float d = t - mean;
    return d / std;
}
#ifndef __CUDACC__
int normalise_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w;
    size_t image = plane * c;
    int nchw = (a->flags & KF_NCHW) != 0;
#pragma omp parallel for
    for (size_t p = 0; p < op_rows(a); p++) {
        const unsigned char *u = a->u8 + p * c;
        float *y = a->y + (nchw ? p / plane * image + p % plane : p * c);
        for (size_t k = 0; k < c; k++)
            y[nchw ? k * plane : k] = normalise(u[k], a->x[0][k], a->x[1][k]);
    }
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void nhwc(const unsigned char *u, const float *mean, const float *std, float *y,
                            int c, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        divide(i, c, &k);
        y[i] = normalise(u[i], mean[k], std[k]);
    }
}

/* Walks y, so that the wide stores are the neighbouring ones. */
static __global__ void nchw(const unsigned char *u, const float *mean, const float *std, float *y,
                            int c, int plane, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int at, k;
        size_t image = divide(divide(i, plane, &at), c, &k);
        y[i] = normalise(u[(image * (size_t)plane + (size_t)at) * (size_t)c + (size_t)k], mean[k],
                         std[k]);
    }
}

OP_API int normalise_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    cudaStream_t stream = (cudaStream_t)a->stream;
    if (a->flags & KF_NCHW)
        nchw<<<blocks_for(count), BLOCK, 0, stream>>>(a->u8, a->x[0], a->x[1], a->y, a->c,
                                                      a->h * a->w, count);
    else
        nhwc<<<blocks_for(count), BLOCK, 0, stream>>>(a->u8, a->x[0], a->x[1], a->y, a->c, count);
    return launched("normalise forward");
}
#endif
