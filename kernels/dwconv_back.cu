/* Gradient of a depthwise convolution at its input: y[n,i,j,c] = sum over ky, kx of w[ky,kx,c] g[n,oy,ox,c] where
 * oy stride + ky - pad = i, likewise ox, in fused multiply-adds from 0 in this order.  For strides above 1; the others
 * are dwconv with turned weights.
 *   x0 g [n,oh,ow,c]      y [n,h,w,c] of the same type      x1 w: f32 [kernel,kernel,c]      kernel, stride, pad
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/elements.h"

OP_MATH float dwconv_back_at(const op_args *a, size_t o)
{
    const float *w = op_f32(a, 1);
    int k, i, j;
    size_t n = op_divide(op_divide(op_divide(o, a->c, &k), a->w, &j), a->h, &i);
    float sum = 0.0f;
    for (int ky = (i + a->pad) % a->stride; ky < a->kernel; ky += a->stride) {
        int oy = (i + a->pad - ky) / a->stride;
        if (ky > i + a->pad || oy >= a->oh) continue;
        for (int kx = (j + a->pad) % a->stride; kx < a->kernel; kx += a->stride) {
            int ox = (j + a->pad - kx) / a->stride;
            size_t at = ((n * (size_t)a->oh + (size_t)oy) * (size_t)a->ow + (size_t)ox) * (size_t)a->c;
            if (kx > j + a->pad || ox >= a->ow) continue;
            sum = fmaf(op_x(a, at + (size_t)k), w[(ky * a->kernel + kx) * a->c + k], sum);
        }
    }
    return sum;
}

ELEMENTS(dwconv_back)
