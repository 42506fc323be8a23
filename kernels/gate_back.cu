/* Gradient of the gates of squeeze and excitation: y[n,c] = sum over h, w of g z.  Eight sums in double, then a tree,
 * as in gap: both twins give the same bits.
 *   x0 g, x1 z  [n,h,w,c] of one type      y  f32 [n,c]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

enum { PARTS = 8 };

#ifndef __CUDACC__
int gate_back_cpu(const op_args *a)
{
    size_t plane = (size_t)a->h * (size_t)a->w, c = (size_t)a->c, count = (size_t)a->n * c;
    float *y = a->y;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++) {
        size_t first = i / c * plane * c + i % c;
        double part[PARTS] = { 0.0 };
        for (size_t p = 0; p < plane; p++)
            part[p % PARTS] += (double)op_x(a, first + p * c) * (double)type_get(a->x[1], a->x_type, first + p * c);
        for (size_t half = PARTS / 2; half > 0; half /= 2)
            for (size_t s = 0; s < half; s++)
                part[s] += part[s + half];
        y[i] = (float)part[0];
    }
    return 0;
}
#else
#include "kernels/launch.h"

/* A block takes 32 channels of one image: PARTS rows of 32 threads. */
template <int T>
static __global__ void back(const void *g, const void *z, float *y, divisor slices, int c, size_t plane,
                            size_t blocks)
{
    __shared__ double part[PARTS][WARP];
    int lane = (int)threadIdx.x % WARP, s = (int)threadIdx.x / WARP;
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int slice;
        size_t n = divide(b, slices, &slice);
        int k = slice * WARP + lane;
        double sum = 0.0;
        if (k < c)
            for (size_t p = (size_t)s; p < plane; p += PARTS) {
                size_t at = (n * plane + p) * c + k;
                sum += (double)type_get(g, T, at) * (double)type_get(z, T, at);
            }
        part[s][lane] = sum;
        for (int half = PARTS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (s < half) part[s][lane] += part[s + half][lane];
        }
        if (s == 0 && k < c) y[n * c + k] = (float)part[0][lane];
        __syncthreads(); /* before part is written again */
    }
}

OP_API int gate_back_cuda(const op_args *a)
{
    int slices = (a->c + WARP - 1) / WARP;
    size_t blocks = (size_t)a->n * (size_t)slices;
    by_type(a->x_type, [&](auto t) {
        launch_joined(back<t.value>, grid_of(blocks), a->stream, a->x[0], a->x[1], (float *)a->y,
                      divisor_of(slices), a->c, (size_t)a->h * (size_t)a->w, blocks);
    });
    return launched("gradient of gates");
}
#endif
