/* Pools over all of h and w: the mean (global average pool), the sum or the largest (NaN wins).
 * PARTS sums in double, of the pixels p = s, s + PARTS, ... in order, are joined as a tree of fixed shape
 * and rounded once: the same on both sides, whatever else is in the batch.
 *   x0 [n,h,w,c] of any type      y [n,c] f32      reduce: KR_*, 0 is the mean
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

enum { PARTS = 8 };

OP_MATH double pool_start(int reduce)
{
    return reduce == KR_MAX ? -INFINITY : 0.0;
}

OP_MATH double pool_join(double a, double b, int reduce)
{
    if (reduce == KR_MAX) return b > a || b != b ? b : a;
    return a + b;
}

OP_MATH float pool_end(double v, size_t plane, int reduce)
{
    return (float)(reduce == KR_MAX || reduce == KR_SUM ? v : v / (double)plane);
}
#ifndef __CUDACC__
int gap_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w, count = (size_t)a->n * c;
    float *y = a->y;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++) {
        size_t first = i / c * plane * c + i % c;
        double part[PARTS];
        for (size_t s = 0; s < PARTS; s++) {
            part[s] = pool_start(a->reduce);
            for (size_t p = s; p < plane; p += PARTS)
                part[s] = pool_join(part[s], (double)op_x(a, first + p * c), a->reduce);
        }
        for (size_t half = PARTS / 2; half > 0; half /= 2)
            for (size_t s = 0; s < half; s++)
                part[s] = pool_join(part[s], part[s + half], a->reduce);
        y[i] = pool_end(part[0], plane, a->reduce);
    }
    return 0;
}
#else
#include "kernels/launch.h"

/* A block takes 32 W channels of one image: PARTS rows of 32 threads, each with W of its own. */
template <int T, int W>
static __global__ void fwd(const void *x, float *y, divisor slices, int c, size_t plane, int reduce,
                           size_t blocks)
{
    __shared__ double part[PARTS][W][WARP];
    int lane = (int)threadIdx.x % WARP, s = (int)threadIdx.x / WARP;
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int slice;
        size_t n = divide(b, slices, &slice);
        int k = (slice * WARP + lane) * W;
        double sum[W];
        float v[W];
#pragma unroll
        for (int e = 0; e < W; e++)
            sum[e] = pool_start(reduce);
        if (k < c)
            for (size_t p = (size_t)s; p < plane; p += PARTS) {
                load<T, W>(x, (n * plane + p) * c + k, v);
#pragma unroll
                for (int e = 0; e < W; e++)
                    sum[e] = pool_join(sum[e], (double)v[e], reduce);
            }
#pragma unroll
        for (int e = 0; e < W; e++)
            part[s][e][lane] = sum[e];
        for (int half = PARTS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (s < half)
#pragma unroll
                for (int e = 0; e < W; e++)
                    part[s][e][lane] = pool_join(part[s][e][lane], part[s + half][e][lane], reduce);
        }
        if (s == 0 && k < c)
#pragma unroll
            for (int e = 0; e < W; e++)
                y[n * c + k + e] = pool_end(part[0][e][lane], plane, reduce);
        __syncthreads(); /* before part is written again */
    }
}

OP_API int gap_fwd_cuda(const op_args *a)
{
    size_t plane = (size_t)a->h * (size_t)a->w;
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        int fast = a->c % W == 0 && aligned(a->x[0]), each = WARP * (fast ? W : 1);
        int slices = (a->c + each - 1) / each;
        size_t blocks = (size_t)a->n * (size_t)slices;
        launch_joined(fast ? fwd<T, W> : fwd<T, 1>, grid_of(blocks), a->stream, a->x[0],
                      (float *)a->y, divisor_of(slices), a->c, plane, a->reduce, blocks);
    });
    return launched("global pool forward");
}
#endif
