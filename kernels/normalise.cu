/* Image bytes to what a network sees: t = u / 255, y = (t - mean[c]) / std[c].
 * A true division, then a subtraction and a division that are rounded one by one: bit-equal to
 * torchvision's ToTensor and Normalize (models.md section 9).  Multiplying by 1/255 would change 126
 * of the 256 values.
 *   u8 [n,h,w,c] bytes; x0 mean, x1 std: f32 [c], of values in 0..1
 *   y  [n,h,w,y_c] of any type, zeros in channels from c on (y_c 0: c): tensor cores take channels by
 *      fours and eights; or [n,c,h,w] with KF_NCHW
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float normalise(unsigned char u, float mean, float std)
{
    float t = (float)u / 255.0f;
    float d = t - mean;
    return d / std;
}
#ifndef __CUDACC__
int normalise_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w, to = (size_t)op_y_stride(a);
    const float *mean = op_f32(a, 0), *std = op_f32(a, 1);
#pragma omp parallel for
    for (size_t p = 0; p < op_rows(a); p++) {
        const unsigned char *u = a->u8 + p * c;
        if (a->flags & KF_NCHW) {
            for (size_t k = 0; k < c; k++)
                op_y(a, (p / plane * c + k) * plane + p % plane, normalise(u[k], mean[k], std[k]));
            continue;
        }
        for (size_t k = 0; k < to; k++)
            op_y(a, p * to + k, k < c ? normalise(u[k], mean[k], std[k]) : 0.0f);
    }
    return 0;
}
#else
#include "kernels/launch.h"

/* A pixel per thread: its channels leave in one store or two. */
template <int T, int W>
static __global__ void pixels(const unsigned char *u, const float *mean, const float *std, void *y,
                              int c, size_t count)
{
    GRID_STRIDE(p, count)
    {
        float v[W];
#pragma unroll
        for (int k = 0; k < W; k++)
            v[k] = k < c ? normalise(u[p * c + k], mean[k], std[k]) : 0.0f;
        store<T, W>(y, p * W, v);
    }
}

template <int T>
static __global__ void nhwc(const unsigned char *u, const float *mean, const float *std, void *y,
                            int c, divisor to, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        size_t p = divide(i, to, &k);
        type_put(y, T, i, k < c ? normalise(u[p * c + k], mean[k], std[k]) : 0.0f);
    }
}

/* Walks y, so that the wide stores are the neighbouring ones. */
template <int T>
static __global__ void nchw(const unsigned char *u, const float *mean, const float *std, void *y,
                            divisor c, divisor plane, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int at, k;
        size_t image = divide(divide(i, plane, &at), c, &k);
        type_put(y, T, i, normalise(u[(image * plane.by + at) * c.by + k], mean[k], std[k]));
    }
}

OP_API int normalise_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a), count = op_count(a);
    int to = op_y_stride(a);
    const float *mean = op_f32(a, 0), *std = op_f32(a, 1);
    by_type(a->y_type, [&](auto t) {
        constexpr int T = t.value;
        if (a->flags & KF_NCHW)
            launch(nchw<T>, blocks_for(count), a->stream, a->u8, mean, std, a->y, divisor_of(a->c),
                   divisor_of(a->h * a->w), count);
        else if (to == 4 && aligned(a->y))
            launch(pixels<T, 4>, blocks_for(rows), a->stream, a->u8, mean, std, a->y, a->c, rows);
        else if (to == 8 && aligned(a->y))
            launch(pixels<T, 8>, blocks_for(rows), a->stream, a->u8, mean, std, a->y, a->c, rows);
        else
            launch(nhwc<T>, blocks_for(rows * (size_t)to), a->stream, a->u8, mean, std, a->y, a->c,
                   divisor_of(to), rows * (size_t)to);
    });
    return launched("normalise forward");
}
#endif
