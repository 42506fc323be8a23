/* A map as it is dumped: float32, [h,w,c], or [c,h,w] with KF_NCHW.
 *   x0 [n,h,w,c] of any type      y f32 [n,h,w,c] or [n,c,h,w]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int export_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w;
    int nchw = (a->flags & KF_NCHW) != 0;
    float *y = a->y;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < c; k++)
            y[nchw ? (r / plane * c + k) * plane + r % plane : r * c + k] = op_x(a, r * c + k);
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W> static __global__ void nhwc(const void *x, float *y, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W];
        load<T, W>(x, i * W, v);
        store<KT_F32, W>(y, i * W, v);
    }
}

/* A block turns a tile of 32 pixels x 32 channels round, so that both sides see whole lines. */
template <int T>
static __global__ void nchw(const void *x, float *y, int c, int plane, divisor across, divisor down,
                            size_t tiles)
{
    __shared__ float tile[WARP][WARP + 1];
    int lane = (int)threadIdx.x % WARP, first = (int)threadIdx.x / WARP;
    for (size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        int tx, ty;
        size_t n = divide(divide(t, across, &tx), down, &ty);
        int k0 = tx * WARP, p0 = ty * WARP;
        for (int q = first; q < WARP; q += WARPS)
            if (p0 + q < plane && k0 + lane < c)
                tile[q][lane] = type_get(x, T, (n * plane + p0 + q) * c + k0 + lane);
        __syncthreads();
        for (int q = first; q < WARP; q += WARPS)
            if (k0 + q < c && p0 + lane < plane)
                y[(n * c + k0 + q) * plane + p0 + lane] = tile[lane][q];
        __syncthreads();
    }
}

OP_API int export_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    int plane = a->h * a->w, across = (a->c - 1) / WARP + 1, down = (plane - 1) / WARP + 1;
    size_t tiles = (size_t)a->n * (size_t)across * (size_t)down;
    float *y = (float *)a->y;
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (a->flags & KF_NCHW)
            launch_joined(nchw<T>, grid_of(tiles), a->stream, a->x[0], y, a->c, plane,
                          divisor_of(across), divisor_of(down), tiles);
        else if (count % W == 0 && aligned(a->x[0]) && aligned(y))
            launch(nhwc<T, W>, blocks_for(count / W), a->stream, a->x[0], y, count / W);
        else
            launch(nhwc<T, 1>, blocks_for(count), a->stream, a->x[0], y, count);
    });
    return launched("export");
}
#endif
