/* Performer, step 3: y_t = phi(q_t) . KV / (phi(q_t) . K + 1e-8).
 *   x0 [n,h,w,3c], channels [k; q; v]; c up to 64      x1 w: f32 [m,c]      groups: m up to 64
 *   x2 f32 [n, m, c + 1], KV and K as performer_join leaves them      y [n,h,w,c] of x0's type
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"
#include "kernels/performer.h"

/* Element e of y; kv: [m, d + 1], `e` its column; column d holds K. */
OP_MATH float performer_out(const float *phi, const float *kv, int m, int stride, int d, int e)
{
    float sum = 0.0f, total = 0.0f;
    for (int f = 0; f < m; f++) {
        sum = fmaf(phi[f], kv[f * stride + e], sum);
        total = fmaf(phi[f], kv[f * stride + d], total);
    }
    return sum / (total + 1e-8f);
}
#ifndef __CUDACC__
int performer_out_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), plane = (size_t)a->h * (size_t)a->w;
    int d = a->c, m = a->groups;
    const float *w = op_f32(a, 1);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        float z[PERFORMER_WIDEST], phi[PERFORMER_WIDEST];
        const float *kv = op_f32(a, 2) + r / plane * (size_t)m * (size_t)(d + 1);
        for (int e = 0; e < d; e++)
            z[e] = op_x(a, (3 * r + 1) * (size_t)d + (size_t)e);
        for (int f = 0; f < m; f++)
            phi[f] = performer_phi(w + f * d, z, d, m);
        for (int e = 0; e < d; e++)
            op_y(a, r * (size_t)d + (size_t)e, performer_out(phi, kv, m, d + 1, d, e));
    }
    return 0;
}
#else
#include "kernels/launch.h"

enum { TILE = 16, WIDE = PERFORMER_WIDEST + 1 };

/* A block per TILE tokens of an image. */
template <int T>
static __global__ void fwd(const void *x, const float *features, const float *sums, void *y,
                           int tokens, divisor tiles, divisor d, int m, size_t blocks)
{
    __shared__ float w[PERFORMER_WIDEST][WIDE], kv[PERFORMER_WIDEST][WIDE];
    __shared__ float z[TILE][WIDE], phi[TILE][WIDE];
    int me = (int)threadIdx.x, width = (int)d.by, e;
    for (int i = me; i < m * width; i += BLOCK) {
        int f = (int)divide((size_t)i, d, &e);
        w[f][e] = features[i];
    }
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int tile;
        size_t n = divide(b, tiles, &tile);
        int t0 = tile * TILE, here = tokens - t0 < TILE ? tokens - t0 : TILE;
        __syncthreads(); /* the tile before has been used */
        for (int i = me; i < m * (width + 1); i += BLOCK)
            kv[i / (width + 1)][i % (width + 1)] = sums[n * m * (width + 1) + i];
        for (int i = me; i < here * width; i += BLOCK) {
            int t = (int)divide((size_t)i, d, &e);
            z[t][e] = type_get(x, T, ((n * tokens + t0 + t) * 3 + 1) * width + e);
        }
        __syncthreads();
        for (int i = me; i < here * m; i += BLOCK)
            phi[i / m][i % m] = performer_phi(w[i % m], z[i / m], width, m);
        __syncthreads();
        for (int i = me; i < here * width; i += BLOCK) {
            int t = (int)divide((size_t)i, d, &e);
            type_put(y, T, (n * tokens + t0 + t) * width + e,
                     performer_out(phi[t], kv[0], m, WIDE, width, e));
        }
    }
}

OP_API int performer_out_fwd_cuda(const op_args *a)
{
    int tokens = a->h * a->w, tiles = (tokens - 1) / TILE + 1;
    size_t blocks = (size_t)a->n * (size_t)tiles;
    by_type(a->x_type, [&](auto t) {
        launch_joined(fwd<t.value>, grid_of(blocks), a->stream, a->x[0], op_f32(a, 1), op_f32(a, 2),
                      a->y, tokens, divisor_of(tiles), divisor_of(a->c), a->groups, blocks);
    });
    return launched("performer output");
}
#endif
