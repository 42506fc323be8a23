/* Patches to tokens: y[n,0,:] = cls + pos[0], y[n,t,:] = x[n,t-1,:] + pos[t] (Dosovitskiy et al., ICLR
 * 2021, arXiv:2010.11929, equation 1).
 *   x0 [n,h,w,c] patches      y [n, 1 + h w, c] of the same type      x1 pos: f32 [1 + h w, c]
 *   x2 cls: f32 [c]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int embed_fwd_cpu(const op_args *a)
{
    size_t tokens = 1 + (size_t)a->h * (size_t)a->w, rows = (size_t)a->n * tokens, c = (size_t)a->c;
    const float *pos = op_f32(a, 1), *cls = op_f32(a, 2);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        size_t t = r % tokens, patch = r - r / tokens - 1; /* one row less per image before, and its own */
        for (size_t k = 0; k < c; k++)
            op_y(a, r * c + k, (t == 0 ? cls[k] : op_x(a, patch * c + k)) + pos[t * c + k]);
    }
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x, const float *pos, const float *cls, void *y,
                           divisor per_row, divisor tokens, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], p[W];
        int k, t;
        size_t n = divide(divide(i, per_row, &k), tokens, &t);
        if (t == 0)
            load<KT_F32, W>(cls, (size_t)k * W, v);
        else
            load<T, W>(x, ((n * (tokens.by - 1) + (size_t)t - 1) * per_row.by + (size_t)k) * W, v);
        load<KT_F32, W>(pos, ((size_t)t * per_row.by + (size_t)k) * W, p);
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] += p[e];
        store<T, W>(y, i * W, v);
    }
}

OP_API int embed_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (1 + (size_t)a->h * (size_t)a->w) * (size_t)a->c;
    divisor tokens = divisor_of(1 + a->h * a->w);
    const float *pos = op_f32(a, 1), *cls = op_f32(a, 2);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (a->c % W == 0 && aligned(a->x[0]) && aligned(pos) && aligned(cls) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], pos, cls, a->y,
                   divisor_of(a->c / W), tokens, count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], pos, cls, a->y,
                   divisor_of(a->c), tokens, count);
    });
    return launched("embed forward");
}
#endif
