/* Copies a slice of channels: y[row, y_at + k] = x[row, x_at + k] for k < c.  A concatenation is one
 * such copy per part; the other channels of y keep what they hold.  Also a change of type.
 *   x0 [n,h,w,x_c]      y [n,h,w,y_c]: one type, or one of them f32; the two do not overlap
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH size_t slice_index(size_t row, int channels, int first, int k)
{
    return row * (size_t)channels + (size_t)first + (size_t)k;
}
#ifndef __CUDACC__
int copy_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (int k = 0; k < a->c; k++)
            op_y(a, slice_index(r, a->y_c, a->y_at, k), op_x(a, slice_index(r, a->x_c, a->x_at, k)));
    return 0;
}
#else
#include "kernels/launch.h"

template <int X, int Y, int W>
static __global__ void fwd(const void *x, void *y, divisor per_row, int x_c, int x_at, int y_c,
                           int y_at, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W];
        int k;
        size_t r = divide(i, per_row, &k);
        load<X, W>(x, slice_index(r, x_c, x_at, k * W), v);
        store<Y, W>(y, slice_index(r, y_c, y_at, k * W), v);
    }
}

OP_API int copy_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    by_types(a->x_type, a->y_type, [&](auto x, auto y) {
        constexpr int X = x.value, Y = y.value, W = wide(X, Y);
        if ((a->c | a->x_c | a->x_at | a->y_c | a->y_at) % W == 0 && aligned(a->x[0]) && aligned(a->y))
            launch(fwd<X, Y, W>, blocks_for(count / W), a->stream, a->x[0], a->y,
                   divisor_of(a->c / W), a->x_c, a->x_at, a->y_c, a->y_at, count / W);
        else
            launch(fwd<X, Y, 1>, blocks_for(count), a->stream, a->x[0], a->y, divisor_of(a->c),
                   a->x_c, a->x_at, a->y_c, a->y_at, count);
    });
    return launched("slice copy forward");
}
#endif
