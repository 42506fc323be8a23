/* y = act(x * scale[c] + shift[c]): batch norm at inference, where scale = gamma / sqrt(var + eps) and
 * shift = beta - mean * scale, both made in double and rounded once (models.md section 13.2); also layer
 * scale, with shift 0.  For what cannot be folded into a convolution.
 * Product and sum are rounded one by one on both sides (nvcc runs with -fmad=false).
 *   x0, y  [n,h,w,c] of one type; y may be x0      x1 scale, x2 shift: f32 [c]      act
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float scale_shift(float x, float scale, float shift)
{
    float p = x * scale;
    return p + shift;
}
#ifndef __CUDACC__
int scale_shift_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const float *scale = op_f32(a, 1), *shift = op_f32(a, 2);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++) {
            float y = scale_shift(op_x(a, r * c + k), scale[k], shift[k]);
            op_y(a, r * c + k, op_act(y, a->act));
        }
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x, const float *scale, const float *shift, void *y,
                           divisor per_row, int act, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], s[W], b[W];
        int k;
        divide(i, per_row, &k);
        load<T, W>(x, i * W, v);
        load<KT_F32, W>(scale, (size_t)k * W, s);
        load<KT_F32, W>(shift, (size_t)k * W, b);
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] = scale_shift(v[e], s[e], b[e]);
        activate<W>(v, act);
        store<T, W>(y, i * W, v);
    }
}

OP_API int scale_shift_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    const float *scale = op_f32(a, 1), *shift = op_f32(a, 2);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (a->c % W == 0 && aligned(a->x[0]) && aligned(scale) && aligned(shift) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], scale, shift, a->y,
                   divisor_of(a->c / W), a->act, count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], scale, shift, a->y,
                   divisor_of(a->c), a->act, count);
    });
    return launched("scale and shift forward");
}
#endif
