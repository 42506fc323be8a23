/* y = act(a + b): the end of a residual block.
 *   x0, x1, y  [n,h,w,c] of one type; y may be either operand      act
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int add_fwd_cpu(const op_args *a)
{
    size_t count = op_count(a);
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        op_y(a, i, op_act(op_x(a, i) + type_get(a->x[1], a->x_type, i), a->act));
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x0, const void *x1, void *y, int act, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], u[W];
        load<T, W>(x0, i * W, v);
        load<T, W>(x1, i * W, u);
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] += u[e];
        activate<W>(v, act);
        store<T, W>(y, i * W, v);
    }
}

OP_API int add_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (count % W == 0 && aligned(a->x[0]) && aligned(a->x[1]) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->x[1], a->y, a->act,
                   count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->x[1], a->y, a->act, count);
    });
    return launched("add forward");
}
#endif
