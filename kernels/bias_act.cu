/* y = act(x + bias[c]): what follows a matrix product that had no such epilogue.
 *   x0, y  [n,h,w,c], of one type or one of them f32; y may be x0 when the types are equal
 *   x1     bias: f32 [c]      act
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int bias_act_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const float *bias = op_f32(a, 1);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++)
            op_y(a, r * c + k, op_act(op_x(a, r * c + k) + bias[k], a->act));
    return 0;
}
#else
#include "kernels/launch.h"

template <int X, int Y, int W>
static __global__ void fwd(const void *x, const float *bias, void *y, divisor per_row, int act,
                           size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], b[W];
        int k;
        divide(i, per_row, &k);
        load<X, W>(x, i * W, v);
        load<KT_F32, W>(bias, (size_t)k * W, b);
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] += b[e];
        activate<W>(v, act);
        store<Y, W>(y, i * W, v);
    }
}

OP_API int bias_act_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    const float *bias = op_f32(a, 1);
    by_types(a->x_type, a->y_type, [&](auto x, auto y) {
        constexpr int X = x.value, Y = y.value, W = wide(X, Y);
        if (a->c % W == 0 && aligned(a->x[0]) && aligned(bias) && aligned(a->y))
            launch(fwd<X, Y, W>, blocks_for(count / W), a->stream, a->x[0], bias, a->y,
                   divisor_of(a->c / W), a->act, count / W);
        else
            launch(fwd<X, Y, 1>, blocks_for(count), a->stream, a->x[0], bias, a->y,
                   divisor_of(a->c), a->act, count);
    });
    return launched("bias and activation forward");
}
#endif
