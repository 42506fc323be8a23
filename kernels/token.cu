/* One token of each image: y[n,c] = x[n, x_at, c].
 *   x0 [n,h,w,c], h * w tokens      y [n,c]: the type of x, or one of them f32      x_at
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH size_t token_index(size_t n, size_t tokens, int token, int c, int k)
{
    return (n * tokens + (size_t)token) * (size_t)c + (size_t)k;
}
#ifndef __CUDACC__
int token_fwd_cpu(const op_args *a)
{
    size_t tokens = (size_t)a->h * (size_t)a->w;
    for (size_t n = 0; n < (size_t)a->n; n++)
        for (int k = 0; k < a->c; k++)
            op_y(a, n * (size_t)a->c + (size_t)k, op_x(a, token_index(n, tokens, a->x_at, a->c, k)));
    return 0;
}
#else
#include "kernels/launch.h"

/* A few kilobytes: one channel per thread. */
template <int X, int Y>
static __global__ void fwd(const void *x, void *y, size_t tokens, int token, divisor c, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v;
        int k;
        size_t n = divide(i, c, &k);
        load<X, 1>(x, token_index(n, tokens, token, (int)c.by, k), &v);
        store<Y, 1>(y, i, &v);
    }
}

OP_API int token_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->c;
    by_types(a->x_type, a->y_type, [&](auto x, auto y) {
        launch(fwd<x.value, y.value>, blocks_for(count), a->stream, a->x[0], a->y,
               (size_t)a->h * (size_t)a->w, a->x_at, divisor_of(a->c), count);
    });
    return launched("token forward");
}
#endif
