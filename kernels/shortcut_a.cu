/* The parameter-free shortcut of CIFAR ResNets: every second row and column, and zero channels on
 * both sides: y[n,i,j,y_at + k] = x[n,2i,2j,k] for k < c, 0 in every other channel.
 * He et al., CVPR 2016, arXiv:1512.03385, option A, as akamaster's pytorch_resnet_cifar10 has it:
 * there y_c = 2c and y_at = c/2.
 *   x0 [n,h,w,c]      y [n,oh,ow,y_c] of the same type, oh = ceil(h/2), ow = ceil(w/2)
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

/* Element of x that channel k of y has; called only where y has one. */
OP_MATH size_t shortcut_index(size_t n, int i, int j, int k, int h, int w, int c)
{
    return ((n * (size_t)h + (size_t)(2 * i)) * (size_t)w + (size_t)(2 * j)) * (size_t)c + (size_t)k;
}
#ifndef __CUDACC__
int shortcut_a_fwd_cpu(const op_args *a)
{
    size_t rows = (size_t)a->n * (size_t)a->oh * (size_t)a->ow;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        int j = (int)(r % (size_t)a->ow), i = (int)(r / (size_t)a->ow % (size_t)a->oh);
        size_t n = r / (size_t)a->ow / (size_t)a->oh;
        for (int k = 0; k < a->y_c; k++) {
            int from = k - a->y_at, has = from >= 0 && from < a->c;
            op_y(a, r * (size_t)a->y_c + (size_t)k,
                 has ? op_x(a, shortcut_index(n, i, j, from, a->h, a->w, a->c)) : 0.0f);
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x, void *y, int h, int w, int c, int first, divisor per_row,
                           divisor oh, divisor ow, size_t count)
{
    GRID_STRIDE(o, count)
    {
        float v[W] = { 0.0f };
        int i, j, k;
        size_t n = divide(divide(divide(o, per_row, &k), ow, &j), oh, &i);
        int from = k * W - first;
        if (from >= 0 && from < c) load<T, W>(x, shortcut_index(n, i, j, from, h, w, c), v);
        store<T, W>(y, o * W, v);
    }
}

OP_API int shortcut_a_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->y_c;
    divisor oh = divisor_of(a->oh), ow = divisor_of(a->ow);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if ((a->c | a->y_c | a->y_at) % W == 0 && aligned(a->x[0]) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, a->h, a->w, a->c,
                   a->y_at, divisor_of(a->y_c / W), oh, ow, count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, a->h, a->w, a->c,
                   a->y_at, divisor_of(a->y_c), oh, ow, count);
    });
    return launched("option A shortcut forward");
}
#endif
