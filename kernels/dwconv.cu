/* Depthwise convolution: y[n,i,j,c] = act(b[c] + sum over ky, kx of w[ky,kx,c] x[n, i s - p + ky, j s - p + kx, c]),
 * taps outside the map left out (MobileNetV2, EfficientNet, ConvNeXt).
 * Each sum runs row by row in fused multiply-adds from 0, then the bias: both twins give the same bits
 * but for the curves.
 *   x0 [n,h,w,c]      y [n,oh,ow,c] of the same type      x1 w: f32 [kernel,kernel,c]      x2 b: f32 [c]
 *   kernel, stride, pad, act
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
static float sum_of_taps(const op_args *a, size_t n, int i, int j, int c)
{
    const float *w = op_f32(a, 1);
    float sum = 0.0f;
    for (int ky = 0; ky < a->kernel; ky++)
        for (int kx = 0; kx < a->kernel; kx++) {
            int r = i * a->stride - a->pad + ky, q = j * a->stride - a->pad + kx;
            size_t at = ((n * (size_t)a->h + (size_t)r) * (size_t)a->w + (size_t)q) * (size_t)a->c;
            if (r >= 0 && r < a->h && q >= 0 && q < a->w)
                sum = fmaf(op_x(a, at + (size_t)c), w[(ky * a->kernel + kx) * a->c + c], sum);
        }
    return sum;
}

int dwconv_fwd_cpu(const op_args *a)
{
    size_t rows = (size_t)a->n * (size_t)a->oh * (size_t)a->ow;
    const float *b = op_f32(a, 2);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        int j = (int)(r % (size_t)a->ow), i = (int)(r / (size_t)a->ow % (size_t)a->oh);
        size_t n = r / (size_t)a->ow / (size_t)a->oh;
        for (int c = 0; c < a->c; c++)
            op_y(a, r * (size_t)a->c + (size_t)c,
                 op_act(sum_of_taps(a, n, i, j, c) + b[c], a->act));
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct convolution {
    divisor per_row, across, oh; /* across: outputs, or strips of them, in a row */
    int h, w, ow, kernel, stride, pad, act;
};

enum { STRIP = 4 };

/* A thread makes STRIP neighbouring outputs of W channels.  Row by row of the window it keeps the row's
 * weights, and takes each x once for all outputs that see it. */
template <int T, int W, int K, int S>
static __global__ void strips(const void *x, const float *w, const float *b, void *y, convolution s,
                              size_t count)
{
    GRID_STRIDE(o, count)
    {
        int i, j, c;
        size_t n = divide(divide(divide(o, s.per_row, &c), s.across, &j), s.oh, &i);
        float sum[STRIP][W] = { { 0.0f } }, bias[W];
        size_t width = (size_t)s.per_row.by * W, first = (size_t)c * W;
        j *= STRIP;
#pragma unroll 1
        for (int ky = 0; ky < K; ky++) {
            int r = i * S - s.pad + ky;
            if (r < 0 || r >= s.h) continue;
            size_t row = (n * s.h + r) * s.w;
            float t[K][W], v[W];
#pragma unroll
            for (int kx = 0; kx < K; kx++)
                load<KT_F32, W>(w, (ky * K + kx) * width + first, t[kx]);
#pragma unroll
            for (int q = 0; q < (STRIP - 1) * S + K; q++) {
                int column = j * S - s.pad + q;
                if (column < 0 || column >= s.w) continue;
                load<T, W>(x, (row + column) * width + first, v);
#pragma unroll
                for (int out = 0; out < STRIP; out++)
                    if (q >= out * S && q < out * S + K)
#pragma unroll
                        for (int e = 0; e < W; e++)
                            sum[out][e] = fmaf(v[e], t[q - out * S][e], sum[out][e]);
            }
        }
        load<KT_F32, W>(b, first, bias);
#pragma unroll
        for (int out = 0; out < STRIP; out++) {
            if (j + out >= s.ow) break;
#pragma unroll
            for (int e = 0; e < W; e++)
                sum[out][e] += bias[e];
            activate<W>(sum[out], s.act);
            store<T, W>(y, ((n * s.oh.by + i) * s.ow + j + out) * width + first, sum[out]);
        }
    }
}

/* Any window, any number of channels: one output per thread. */
template <int T>
static __global__ void plain(const void *x, const float *w, const float *b, void *y, convolution s,
                             size_t count)
{
    GRID_STRIDE(o, count)
    {
        int i, j, c;
        size_t n = divide(divide(divide(o, s.per_row, &c), s.across, &j), s.oh, &i);
        float sum = 0.0f;
        for (int ky = 0; ky < s.kernel; ky++)
            for (int kx = 0; kx < s.kernel; kx++) {
                int r = i * s.stride - s.pad + ky, q = j * s.stride - s.pad + kx;
                if (r < 0 || r >= s.h || q < 0 || q >= s.w) continue;
                float v = type_get(x, T, ((n * s.h + r) * s.w + q) * s.per_row.by + c);
                sum = fmaf(v, w[(ky * s.kernel + kx) * s.per_row.by + c], sum);
            }
        type_put(y, T, o, op_act(sum + b[c], s.act));
    }
}

template <int T> static auto strips_of(int kernel, int stride) -> decltype(&strips<T, wide(T), 3, 1>)
{
    constexpr int W = wide(T);
    if (kernel == 3) return stride == 1 ? strips<T, W, 3, 1> : strips<T, W, 3, 2>;
    if (kernel == 5) return stride == 1 ? strips<T, W, 5, 1> : strips<T, W, 5, 2>;
    return stride == 1 ? strips<T, W, 7, 1> : strips<T, W, 7, 2>;
}

OP_API int dwconv_fwd_cuda(const op_args *a)
{
    size_t lines = (size_t)a->n * (size_t)a->oh;
    int k = a->kernel, known = (k == 3 || k == 5 || k == 7) && (a->stride == 1 || a->stride == 2);
    int across = (a->ow - 1) / STRIP + 1;
    const float *w = op_f32(a, 1), *b = op_f32(a, 2);
    convolution s = { divisor_of(a->c), divisor_of(a->ow), divisor_of(a->oh), a->h, a->w, a->ow,
                      k, a->stride, a->pad, a->act };
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (known && a->c % W == 0 && aligned(a->x[0]) && aligned(w) && aligned(b) && aligned(a->y)) {
            size_t count = lines * (size_t)across * (size_t)(a->c / W);
            s.per_row = divisor_of(a->c / W);
            s.across = divisor_of(across);
            launch(strips_of<T>(k, a->stride), blocks_for(count), a->stream, a->x[0], w, b, a->y, s,
                   count);
        } else {
            size_t count = lines * (size_t)a->ow * (size_t)a->c;
            launch(plain<T>, blocks_for(count), a->stream, a->x[0], w, b, a->y, s, count);
        }
    });
    return launched("depthwise convolution forward");
}
#endif
