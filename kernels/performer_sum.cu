/* Performer, step 1: over each chunk of tokens, the sums of phi(k) v and of phi(k).
 *   x0 [n,h,w,3c], channels [k; q; v]; h * w tokens, c up to 64      x1 w: f32 [m,c]      groups: m up to 64
 *   y  f32 [n, chunks, m, c + 1]: for each feature c sums of phi(k) v and then that of phi(k);
 *      chunks = performer_chunks(h * w) (kernels/performer.h)
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"
#include "kernels/performer.h"

#ifndef __CUDACC__
int performer_sum_fwd_cpu(const op_args *a)
{
    int tokens = a->h * a->w, chunks = performer_chunks(tokens), d = a->c, m = a->groups;
    const float *w = op_f32(a, 1);
#pragma omp parallel for
    for (size_t b = 0; b < (size_t)a->n * (size_t)chunks; b++) {
        float *y = (float *)a->y + b * (size_t)m * (size_t)(d + 1), z[PERFORMER_WIDEST];
        int first = (int)(b % (size_t)chunks) * PERFORMER_CHUNK, last = first + PERFORMER_CHUNK;
        memset(y, 0, (size_t)m * (size_t)(d + 1) * sizeof *y);
        for (int t = first; t < (last < tokens ? last : tokens); t++) {
            size_t row = (b / (size_t)chunks * (size_t)tokens + (size_t)t) * 3 * (size_t)d;
            for (int e = 0; e < d; e++)
                z[e] = op_x(a, row + (size_t)e);
            for (int f = 0; f < m; f++) {
                float phi = performer_phi(w + f * d, z, d, m), *sums = y + f * (d + 1);
                for (int e = 0; e < d; e++)
                    sums[e] = fmaf(phi, op_x(a, row + (size_t)(2 * d + e)), sums[e]);
                sums[d] += phi;
            }
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

enum { TILE = 32, WIDE = PERFORMER_WIDEST + 1, EACH = PERFORMER_WIDEST * WIDE / BLOCK + 1 };

/* A block per chunk: tiles of tokens through shared memory, each thread up to EACH of the sums. */
template <int T>
static __global__ void fwd(const void *x, const float *features, float *y, int tokens,
                           divisor chunks, divisor d, int m, divisor wide, size_t blocks)
{
    __shared__ float w[PERFORMER_WIDEST][WIDE], k[TILE][WIDE], v[TILE][WIDE], phi[TILE][WIDE];
    int me = (int)threadIdx.x, width = (int)d.by, e;
    for (int i = me; i < m * width; i += BLOCK) {
        int f = (int)divide((size_t)i, d, &e);
        w[f][e] = features[i];
    }
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        float sum[EACH] = { 0.0f };
        int chunk;
        size_t n = divide(b, chunks, &chunk);
        int end = (chunk + 1) * PERFORMER_CHUNK < tokens ? (chunk + 1) * PERFORMER_CHUNK : tokens;
        for (int t0 = chunk * PERFORMER_CHUNK; t0 < end; t0 += TILE) {
            int here = end - t0 < TILE ? end - t0 : TILE;
            __syncthreads(); /* the tile before has been used */
            for (int i = me; i < here * width; i += BLOCK) {
                int t = (int)divide((size_t)i, d, &e);
                size_t row = (n * tokens + t0 + t) * 3 * width;
                k[t][e] = type_get(x, T, row + e);
                v[t][e] = type_get(x, T, row + 2 * width + e);
            }
            __syncthreads();
            for (int i = me; i < here * m; i += BLOCK)
                phi[i / m][i % m] = performer_phi(w[i % m], k[i / m], width, m);
            __syncthreads();
#pragma unroll
            for (int q = 0; q < EACH; q++) {
                int i = me + q * BLOCK, f = (int)divide((size_t)i, wide, &e);
                if (f >= m) break;
                for (int t = 0; t < here; t++)
                    sum[q] = e < width ? fmaf(phi[t][f], v[t][e], sum[q]) : sum[q] + phi[t][f];
            }
        }
#pragma unroll
        for (int q = 0; q < EACH; q++)
            if (me + q * BLOCK < m * (width + 1))
                y[b * m * (width + 1) + me + q * BLOCK] = sum[q];
    }
}

OP_API int performer_sum_fwd_cuda(const op_args *a)
{
    int tokens = a->h * a->w, chunks = performer_chunks(tokens);
    size_t blocks = (size_t)a->n * (size_t)chunks;
    by_type(a->x_type, [&](auto t) {
        launch_joined(fwd<t.value>, grid_of(blocks), a->stream, a->x[0], op_f32(a, 1), (float *)a->y,
                      tokens, divisor_of(chunks), divisor_of(a->c), a->groups, divisor_of(a->c + 1),
                      blocks);
    });
    return launched("performer sums");
}
#endif
