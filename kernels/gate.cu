/* y = x * v[n,c]: each image's channels times its own factors, the gate of squeeze and excitation
 * (Hu et al., CVPR 2018, arXiv:1709.01507).
 *   x0, y  [n,h,w,c] of one type; y may be x0      x1 v: f32 [n,c]      act
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int gate_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w;
    const float *v = op_f32(a, 1);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++)
            op_y(a, r * c + k, op_act(op_x(a, r * c + k) * v[r / plane * c + k], a->act));
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x, const float *gates, void *y, divisor per_row,
                           divisor plane, int act, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], g[W];
        int k, p;
        size_t n = divide(divide(i, per_row, &k), plane, &p);
        load<T, W>(x, i * W, v);
        load<KT_F32, W>(gates, (n * per_row.by + (size_t)k) * W, g);
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] *= g[e];
        activate<W>(v, act);
        store<T, W>(y, i * W, v);
    }
}

OP_API int gate_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    divisor plane = divisor_of(a->h * a->w);
    const float *v = op_f32(a, 1);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (a->c % W == 0 && aligned(a->x[0]) && aligned(v) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], v, a->y,
                   divisor_of(a->c / W), plane, a->act, count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], v, a->y, divisor_of(a->c),
                   plane, a->act, count);
    });
    return launched("gate forward");
}
#endif
