/* The way back from split_heads: what attention made of each window and head, as a map again.
 *   x0 [n * windows][heads][tokens][d], d = c / heads      groups: heads; window, shift
 *   y  [n,h,w,c] of the same type, head j at channel j d
 *   kernel: how many stacks, 0: one.  Three: x0 [3][n * windows]..., y [n,h,w,3c], gradients of q, k and v
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"
#include "kernels/windows.h"

OP_MATH size_t stacks_of(const op_args *a)
{
    return a->kernel > 0 ? (size_t)a->kernel : 1;
}
#ifndef __CUDACC__
int join_heads_fwd_cpu(const op_args *a)
{
    int high = a->window > 0 ? a->window : a->h, wide = a->window > 0 ? a->window : a->w;
    int across = a->w / wide, d = a->c / a->groups;
    size_t windows = (size_t)(a->h / high * across), tokens = (size_t)(high * wide);
    size_t rows = op_rows(a), stacks = stacks_of(a);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        int j = window_shift((int)(r % (size_t)a->w), a->w, a->shift);
        int i = window_shift((int)(r / (size_t)a->w % (size_t)a->h), a->h, a->shift);
        size_t n = r / (size_t)a->w / (size_t)a->h;
        size_t at = n * windows + (size_t)(i / high * across + j / wide);
        size_t t = (size_t)(i % high * wide + j % wide);
        for (int k = 0; k < (int)stacks * a->c; k++) {
            size_t window = (size_t)(k / a->c * a->n) * windows + at; /* of all stacks */
            size_t from = (window * (size_t)a->groups + (size_t)(k % a->c / d)) * tokens + t;
            op_y(a, r * stacks * (size_t)a->c + (size_t)k, op_x(a, from * (size_t)d + (size_t)(k % d)));
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct joining {
    divisor depth, heads, stacks, w, h, high, wide;
    int n, across, windows, tokens, shift;
};

template <int T, int W> static __global__ void fwd(const void *x, void *y, joining s, size_t count)
{
    GRID_STRIDE(o, count)
    {
        float v[W];
        int k, head, stack, i, j, ty, tx;
        size_t n = divide(divide(divide(o, s.depth, &k), s.heads, &head), s.stacks, &stack);
        n = divide(divide(n, s.w, &j), s.h, &i);
        i = window_shift(i, (int)s.h.by, s.shift);
        j = window_shift(j, (int)s.w.by, s.shift);
        size_t wy = divide((size_t)i, s.high, &ty), wx = divide((size_t)j, s.wide, &tx);
        size_t at = ((size_t)stack * s.n + n) * s.windows + wy * s.across + wx;
        size_t from = (at * s.heads.by + head) * s.tokens + ty * (int)s.wide.by + tx;
        load<T, W>(x, (from * s.depth.by + k) * W, v);
        store<T, W>(y, o * W, v);
    }
}

OP_API int join_heads_fwd_cuda(const op_args *a)
{
    size_t count = stacks_of(a) * op_count(a);
    int high = a->window > 0 ? a->window : a->h, side = a->window > 0 ? a->window : a->w;
    int d = a->c / a->groups, across = a->w / side;
    joining s = { divisor_of(d), divisor_of(a->groups), divisor_of((int)stacks_of(a)), divisor_of(a->w),
                  divisor_of(a->h), divisor_of(high), divisor_of(side), a->n, across, a->h / high * across, high * side,
                  a->shift };
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (d % W == 0 && aligned(a->x[0]) && aligned(a->y)) {
            s.depth = divisor_of(d / W);
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, s, count / W);
        } else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, s, count);
    });
    return launched("join heads");
}
#endif
