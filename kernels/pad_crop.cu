/* Zeros below and to the right, or the way back: y[n,i,j,c] = x[n,i,j,c] where x has such a pixel, else
 * 0.  Swin at sizes that its windows do not divide.
 *   x0 [n,h,w,c]      y [n,oh,ow,c] of the same type
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int pad_crop_fwd_cpu(const op_args *a)
{
    size_t rows = (size_t)a->n * (size_t)a->oh * (size_t)a->ow, c = (size_t)a->c;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        size_t j = r % (size_t)a->ow, i = r / (size_t)a->ow % (size_t)a->oh;
        size_t n = r / (size_t)a->ow / (size_t)a->oh;
        int inside = i < (size_t)a->h && j < (size_t)a->w;
        size_t from = ((n * (size_t)a->h + i) * (size_t)a->w + j) * c;
        for (size_t k = 0; k < c; k++)
            op_y(a, r * c + k, inside ? op_x(a, from + k) : 0.0f);
    }
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x, void *y, int h, int w, divisor per_row, divisor oh,
                           divisor ow, size_t count)
{
    GRID_STRIDE(o, count)
    {
        float v[W] = { 0.0f };
        int i, j, k;
        size_t n = divide(divide(divide(o, per_row, &k), ow, &j), oh, &i);
        if (i < h && j < w)
            load<T, W>(x, (((n * h + i) * w + j) * per_row.by + k) * W, v);
        store<T, W>(y, o * W, v);
    }
}

OP_API int pad_crop_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->c;
    divisor oh = divisor_of(a->oh), ow = divisor_of(a->ow);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (a->c % W == 0 && aligned(a->x[0]) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, a->h, a->w,
                   divisor_of(a->c / W), oh, ow, count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, a->h, a->w,
                   divisor_of(a->c), oh, ow, count);
    });
    return launched("pad or crop forward");
}
#endif
