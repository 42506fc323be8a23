/* torch.nn.Unfold: y[n,i,j, (c k + ky) k + kx] = x[n, i s - p + ky, j s - p + kx, c], zeros outside; the soft
 * split of T2T-ViT (Yuan et al. 2021, arXiv:2101.11986).
 *   x0 [n,h,w,x_c], the first c channels (x_c 0: c)      kernel, stride, pad
 *   y  [n,oh,ow,y_c] of the same type, c k^2 channels and then zeros (y_c 0: c k^2)
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

/* Where tap (ky,kx) of output pixel (i,j) looks; 0 when that is outside. */
OP_MATH int unfold_place(int i, int j, int ky, int kx, int stride, int pad, int h, int w, int *row,
                         int *column)
{
    *row = i * stride - pad + ky;
    *column = j * stride - pad + kx;
    return *row >= 0 && *row < h && *column >= 0 && *column < w;
}
#ifndef __CUDACC__
int unfold_fwd_cpu(const op_args *a)
{
    size_t rows = (size_t)a->n * (size_t)a->oh * (size_t)a->ow;
    int kernel = a->kernel, from = op_x_stride(a);
    int used = a->c * kernel * kernel, to = a->y_c > 0 ? a->y_c : used;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        int j = (int)(r % (size_t)a->ow), i = (int)(r / (size_t)a->ow % (size_t)a->oh), row, column;
        size_t n = r / (size_t)a->ow / (size_t)a->oh;
        for (int o = 0; o < to; o++) {
            float v = 0.0f;
            if (o < used && unfold_place(i, j, o / kernel % kernel, o % kernel, a->stride, a->pad,
                                         a->h, a->w, &row, &column))
                v = op_x(a, ((n * (size_t)a->h + (size_t)row) * (size_t)a->w + (size_t)column) *
                                    (size_t)from + (size_t)(o / kernel / kernel));
            op_y(a, r * (size_t)to + (size_t)o, v);
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct unfolding {
    divisor to, kernel, oh, ow;
    int h, w, from, used, stride, pad;
};

/* Each thread makes W neighbouring channels of y; what they read lies apart, in the same few rows. */
template <int T, int W>
static __global__ void fwd(const void *x, void *y, unfolding u, size_t count)
{
    GRID_STRIDE(at, count)
    {
        float v[W];
        int i, j, first;
        size_t n = divide(divide(divide(at, u.to, &first), u.ow, &j), u.oh, &i);
#pragma unroll
        for (int e = 0; e < W; e++) {
            int o = first * W + e, kx, ky, row, column;
            size_t c = divide(divide((size_t)o, u.kernel, &kx), u.kernel, &ky);
            v[e] = 0.0f;
            if (o < u.used && unfold_place(i, j, ky, kx, u.stride, u.pad, u.h, u.w, &row, &column))
                v[e] = type_get(x, T, ((n * u.h + row) * u.w + column) * u.from + c);
        }
        store<T, W>(y, at * W, v);
    }
}

OP_API int unfold_fwd_cuda(const op_args *a)
{
    int used = a->c * a->kernel * a->kernel, to = a->y_c > 0 ? a->y_c : used;
    size_t count = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)to;
    unfolding u = { divisor_of(to), divisor_of(a->kernel), divisor_of(a->oh), divisor_of(a->ow),
                    a->h, a->w, op_x_stride(a), used, a->stride, a->pad };
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (to % W == 0 && aligned(a->y)) {
            u.to = divisor_of(to / W);
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, u, count / W);
        } else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, u, count);
    });
    return launched("unfold forward");
}
#endif
