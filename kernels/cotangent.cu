/* Gradient of a scalar of an image's logits (extract/graph.h, cotangent_kind), in double:
 *   reduce KC_CE: (softmax(z / scale) - e) / scale, e at the first of the largest; KC_UNIFORM: softmax(z) - 1 / c;
 *   KC_LOGSUMEXP: softmax(z); KC_MAX: e; KC_LOGIT: 1 at x_at
 *   x0 z, y  f32 [n,h,w,c], a row each; y may not be x0
 * The twins sum in the same order and differ by their exp: 1e-6.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/lanes.h"
#include "kernels/table.h"

OP_MATH float cotangent_of(const op_args *a, double z, double top, double total, int most, int k)
{
    double t = a->reduce == KC_CE ? (double)a->scale : 1.0, p = exp((z - top) / t) / total;
    switch (a->reduce) {
    case KC_CE: return (float)((p - (k == most)) / t);
    case KC_UNIFORM: return (float)(p - 1.0 / a->c);
    case KC_LOGSUMEXP: return (float)p;
    case KC_MAX: return k == most ? 1.0f : 0.0f;
    default: return k == a->x_at ? 1.0f : 0.0f;
    }
}

OP_MATH double cotangent_term(const op_args *a, double z, double top)
{
    return exp((z - top) / (a->reduce == KC_CE ? (double)a->scale : 1.0));
}
#ifndef __CUDACC__
int cotangent_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    float *y = a->y;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const float *z = op_f32(a, 0) + r * c;
        double lane[LANES], top, total;
        int most = -1;
        for (int t = 0; t < LANES; t++)
            lane[t] = INFINITY;
        for (size_t k = 0; k < c; k++)
            lane[k % LANES] = lanes_least(lane[k % LANES], -(double)z[k]);
        top = -lanes_join(lane, lanes_least);
        for (size_t k = c; k > 0; k--)
            if ((double)z[k - 1] >= top) most = (int)k - 1;
        memset(lane, 0, sizeof lane);
        for (size_t k = 0; k < c; k++)
            lane[k % LANES] += cotangent_term(a, (double)z[k], top);
        total = lanes_join(lane, lanes_sum);
        for (size_t k = 0; k < c; k++)
            y[r * c + k] = cotangent_of(a, (double)z[k], top, total, most, (int)k);
    }
    return 0;
}
#else
static __global__ void fwd(op_args a, size_t rows)
{
    __shared__ double part[WARPS];
    int me = (int)threadIdx.x;
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *z = (const float *)a.x[0] + r * a.c;
        double low = INFINITY, first = INFINITY, total = 0.0, top;
        for (int k = me; k < a.c; k += BLOCK)
            low = lanes_least(low, -(double)z[k]);
        top = -lanes_join(low, part, lanes_least);
        for (int k = me; k < a.c; k += BLOCK) {
            if ((double)z[k] >= top) first = lanes_least(first, (double)k);
            total += cotangent_term(&a, (double)z[k], top);
        }
        first = lanes_join(first, part, lanes_least);
        total = lanes_join(total, part, lanes_sum);
        int most = first < (double)a.c ? (int)first : -1;
        for (int k = me; k < a.c; k += BLOCK)
            ((float *)a.y)[r * a.c + k] = cotangent_of(&a, (double)z[k], top, total, most, k);
    }
}

OP_API int cotangent_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    launch_joined(fwd, grid_of(rows), a->stream, *a, rows);
    return launched("cotangent");
}
#endif
