/* The map of queries, keys and values, cut into windows and heads: three stacks of small matrices for
 * batched products.
 *   x0 [n,h,w,3c], channels [q; k; v], head j at j d of each, d = c / heads
 *   y  [3][n * windows][heads][tokens][d] of the same type      groups: heads; window, shift
 *   kernel: how many stacks, 0: three.  One: x0 [n,h,w,c], the gradient at what attention made
 * Row-major windows, tokens and their shift: kernels/windows.h.  Attention over the whole map needs none of
 * this: strided products address x itself, head j of q being [tokens,d] at j d with rows 3c apart.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"
#include "kernels/windows.h"

OP_MATH size_t stacks_of(const op_args *a)
{
    return a->kernel > 0 ? (size_t)a->kernel : 3;
}
#ifndef __CUDACC__
int split_heads_fwd_cpu(const op_args *a)
{
    int high = a->window > 0 ? a->window : a->h, wide = a->window > 0 ? a->window : a->w;
    int across = a->w / wide, d = a->c / a->groups;
    size_t windows = (size_t)(a->h / high * across), tokens = (size_t)(high * wide);
    size_t stacks = stacks_of(a), rows = stacks * (size_t)a->n * windows * (size_t)a->groups * tokens; /* of y, d wide */
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        int t = (int)(r % tokens), head = (int)(r / tokens % (size_t)a->groups);
        size_t rest = r / tokens / (size_t)a->groups, part = rest / windows / (size_t)a->n;
        int at = (int)(rest % windows);
        size_t n = rest / windows % (size_t)a->n;
        int i = window_unshift(at / across * high + t / wide, a->h, a->shift);
        int j = window_unshift(at % across * wide + t % wide, a->w, a->shift);
        size_t from = ((n * (size_t)a->h + (size_t)i) * (size_t)a->w + (size_t)j) * stacks + part;
        for (int k = 0; k < d; k++)
            op_y(a, r * (size_t)d + (size_t)k, op_x(a, from * (size_t)a->c + (size_t)(head * d + k)));
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct cutting {
    divisor depth, tokens, wide, heads, windows, across, images;
    int h, w, high, shift, stacks;
};

template <int T, int W> static __global__ void fwd(const void *x, void *y, cutting s, size_t count)
{
    GRID_STRIDE(o, count)
    {
        float v[W];
        int k, t, ty, tx, head, at, wy, wx, n;
        size_t part = divide(o, s.depth, &k);
        part = divide(divide(part, s.tokens, &t), s.heads, &head);
        part = divide(divide(part, s.windows, &at), s.images, &n);
        ty = (int)divide((size_t)t, s.wide, &tx);
        wy = (int)divide((size_t)at, s.across, &wx);
        int i = window_unshift(wy * s.high + ty, s.h, s.shift);
        int j = window_unshift(wx * (int)s.wide.by + tx, s.w, s.shift);
        size_t from = (((size_t)n * s.h + i) * s.w + j) * s.stacks + part;
        load<T, W>(x, ((from * s.heads.by + head) * s.depth.by + k) * W, v);
        store<T, W>(y, o * W, v);
    }
}

OP_API int split_heads_fwd_cuda(const op_args *a)
{
    size_t count = stacks_of(a) * op_count(a);
    int high = a->window > 0 ? a->window : a->h, side = a->window > 0 ? a->window : a->w;
    int d = a->c / a->groups;
    cutting s = { divisor_of(d), divisor_of(high * side), divisor_of(side), divisor_of(a->groups),
                  divisor_of(a->h / high * (a->w / side)), divisor_of(a->w / side),
                  divisor_of(a->n), a->h, a->w, high, a->shift,
                  (int)stacks_of(a) };
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (d % W == 0 && aligned(a->x[0]) && aligned(a->y)) {
            s.depth = divisor_of(d / W);
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, s, count / W);
        } else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, s, count);
    });
    return launched("split into heads");
}
#endif
