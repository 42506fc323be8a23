/* Average pooling: y = sum of the window / divisor, the divisor being the number of real elements or,
 * with KF_COUNT_PAD, of positions up to the padded border (torch's count_include_pad; a window that
 * ceil mode lets hang over that border counts only what lies inside it).
 * The sum is taken in double, row by row, and rounded once.
 *   x0 [n,h,w,c]      y [n,oh,ow,c] of the same type      kernel, stride, pad; KF_CEIL, KF_COUNT_PAD
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH double window_divisor(int high, int wide, int inside, int count_pad)
{
    return count_pad ? (double)high * (double)wide : (double)inside;
}
#ifndef __CUDACC__
int avgpool_fwd_cpu(const op_args *a)
{
    size_t lines = (size_t)a->n * (size_t)a->oh, c = (size_t)a->c;
    int count_pad = (a->flags & KF_COUNT_PAD) != 0;
#pragma omp parallel for
    for (size_t l = 0; l < lines; l++) {
        int i = (int)(l % (size_t)a->oh), top, bottom, left, right;
        size_t n = l / (size_t)a->oh;
        int high = op_window(i, a->h, a->kernel, a->stride, a->pad, &top, &bottom);
        for (int j = 0; j < a->ow; j++) {
            int wide = op_window(j, a->w, a->kernel, a->stride, a->pad, &left, &right);
            int inside = (bottom - top) * (right - left);
            for (size_t k = 0; k < c; k++) {
                double sum = 0.0;
                for (int r = top; r < bottom; r++)
                    for (int q = left; q < right; q++)
                        sum += (double)op_x(a, ((n * (size_t)a->h + (size_t)r) * (size_t)a->w +
                                                (size_t)q) * c + k);
                op_y(a, (l * (size_t)a->ow + (size_t)j) * c + k,
                     (float)(sum / window_divisor(high, wide, inside, count_pad)));
            }
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct pooling {
    divisor per_row, oh, ow;
    int h, w, kernel, stride, pad, count_pad;
};

template <int T, int W> static __global__ void fwd(const void *x, void *y, pooling p, size_t count)
{
    GRID_STRIDE(o, count)
    {
        int i, j, k, top, bottom, left, right;
        size_t n = divide(divide(divide(o, p.per_row, &k), p.ow, &j), p.oh, &i);
        int high = op_window(i, p.h, p.kernel, p.stride, p.pad, &top, &bottom);
        int wide = op_window(j, p.w, p.kernel, p.stride, p.pad, &left, &right);
        double by = window_divisor(high, wide, (bottom - top) * (right - left), p.count_pad);
        double sum[W] = { 0.0 };
        float v[W];
        for (int r = top; r < bottom; r++) {
            size_t at = (((n * p.h + r) * p.w + left) * p.per_row.by + k) * W;
            for (int q = left; q < right; q++, at += (size_t)p.per_row.by * W) {
                load<T, W>(x, at, v);
#pragma unroll
                for (int e = 0; e < W; e++)
                    sum[e] += (double)v[e];
            }
        }
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] = (float)(sum[e] / by);
        store<T, W>(y, o * W, v);
    }
}

OP_API int avgpool_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->c;
    pooling p = { divisor_of(a->c), divisor_of(a->oh), divisor_of(a->ow), a->h, a->w, a->kernel,
                  a->stride, a->pad, (a->flags & KF_COUNT_PAD) != 0 };
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (a->c % W == 0 && aligned(a->x[0]) && aligned(a->y)) {
            p.per_row = divisor_of(a->c / W);
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, p, count / W);
        } else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, p, count);
    });
    return launched("average pool forward");
}
#endif
