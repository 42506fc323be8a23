/* Gradient of the performer (kernels/performer.h) at its input.  With g the gradient at y_t = o_t / total_t,
 * o_t = sum_f phi_f(q_t) KV_f, total_t = phi(q_t) . K + 1e-8 and pull_t = -(o_t . g_t) / total_t^2,
 *   dphi_f(q_t) = pull_t K_f + KV_f . g_t / total_t        dKV_f = sum_t phi_f(q_t) g_t / total_t
 *   dphi_f(k_t) = dK_f + dKV_f . v_t                       dK_f  = sum_t pull_t phi_f(q_t)
 *   dv_t = sum_f phi_f(k_t) dKV_f      dz = sum_f dphi_f phi_f (w_f - z), z = q_t or k_t
 *   x0 [n,h,w,3c], channels [k; q; v]; h * w tokens, c up to 64      x1 w: f32 [m,c]      groups: m up to 64
 *   x2 f32 [n, m, c + 1], KV and K as performer_join leaves them; of the last kernel dKV and dK
 *   x3 g [n,h,w,c] of x0's type
 * performer_back_sum:   y f32 [n, chunks, m, c + 1], dKV and dK of each chunk of tokens, for performer_join
 * performer_back_query: y [n,h,w,3c], channels of q       performer_back_key: those of k and v
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"
#include "kernels/performer.h"

enum { P_SUM, P_QUERY, P_KEY };

/* sum_f a[f] s[f, e]; s: [m, d + 1] */
OP_MATH float over_features(const float *a, const float *s, int m, int d, int e)
{
    float sum = 0.0f;
    for (int f = 0; f < m; f++)
        sum = fmaf(a[f], s[f * (d + 1) + e], sum);
    return sum;
}

/* sum_e a[e] s[e] */
OP_MATH float over_width(const float *a, const float *s, int d)
{
    float sum = 0.0f;
    for (int e = 0; e < d; e++)
        sum = fmaf(a[e], s[e], sum);
    return sum;
}

/* dz[e]; p: dphi phi */
OP_MATH float through_features(const float *p, const float *w, float z, int m, int d, int e)
{
    float sum = 0.0f;
    for (int f = 0; f < m; f++)
        sum = fmaf(p[f], w[f * d + e] - z, sum);
    return sum;
}
#ifndef __CUDACC__
enum { WIDEST = PERFORMER_WIDEST };

typedef struct token { /* z: q or k; v: g / total, or v */
    float z[WIDEST], v[WIDEST], phi[WIDEST], p[WIDEST], pull;
} token;

static const float *sums_of(const op_args *a, size_t row)
{
    size_t plane = (size_t)a->h * (size_t)a->w;
    return op_f32(a, 2) + row / plane * (size_t)a->groups * (size_t)(a->c + 1);
}

static void read_token(const op_args *a, size_t row, int key, token *t)
{
    int d = a->c, m = a->groups;
    const float *w = op_f32(a, 1), *s = sums_of(a, row);
    float total, along = 0.0f;
    for (int e = 0; e < d; e++)
        t->z[e] = op_x(a, (3 * row + (key ? 0 : 1)) * (size_t)d + (size_t)e);
    for (int e = 0; e < d; e++)
        t->v[e] = key ? op_x(a, (3 * row + 2) * (size_t)d + (size_t)e)
                      : type_get(a->x[3], a->x_type, row * (size_t)d + (size_t)e);
    for (int f = 0; f < m; f++)
        t->phi[f] = performer_phi(w + f * d, t->z, d, m);
    t->pull = 1.0f;
    if (!key) {
        total = over_features(t->phi, s, m, d, d) + 1e-8f;
        for (int e = 0; e < d; e++)
            along = fmaf(over_features(t->phi, s, m, d, e), t->v[e], along);
        t->pull = -along / total / total;
        for (int e = 0; e < d; e++)
            t->v[e] /= total;
    }
    for (int f = 0; f < m; f++) {
        const float *row_of = s + f * (d + 1);
        t->p[f] = fmaf(t->pull, row_of[d], over_width(t->v, row_of, d)) * t->phi[f];
    }
}

static int tokens_cpu(const op_args *a, int key)
{
    size_t rows = op_rows(a), d = (size_t)a->c;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        token t;
        read_token(a, r, key, &t);
        for (int e = 0; e < a->c; e++) {
            float dz = through_features(t.p, op_f32(a, 1), t.z[e], a->groups, a->c, e);
            op_y(a, (3 * r + (key ? 0 : 1)) * d + (size_t)e, dz);
            if (key)
                op_y(a, (3 * r + 2) * d + (size_t)e, over_features(t.phi, sums_of(a, r), a->groups, a->c, e));
        }
    }
    return 0;
}

int performer_back_query_cpu(const op_args *a)
{
    return tokens_cpu(a, 0);
}

int performer_back_key_cpu(const op_args *a)
{
    return tokens_cpu(a, 1);
}

int performer_back_sum_cpu(const op_args *a)
{
    int tokens = a->h * a->w, chunks = performer_chunks(tokens), d = a->c, m = a->groups;
#pragma omp parallel for
    for (size_t b = 0; b < (size_t)a->n * (size_t)chunks; b++) {
        float *y = (float *)a->y + b * (size_t)m * (size_t)(d + 1);
        int first = (int)(b % (size_t)chunks) * PERFORMER_CHUNK, last = first + PERFORMER_CHUNK;
        memset(y, 0, (size_t)m * (size_t)(d + 1) * sizeof *y);
        for (int i = first; i < (last < tokens ? last : tokens); i++) {
            token t;
            read_token(a, b / (size_t)chunks * (size_t)tokens + (size_t)i, 0, &t);
            for (int f = 0; f < m; f++) {
                for (int e = 0; e < d; e++)
                    y[f * (d + 1) + e] = fmaf(t.phi[f], t.v[e], y[f * (d + 1) + e]);
                y[f * (d + 1) + d] = fmaf(t.phi[f], t.pull, y[f * (d + 1) + d]);
            }
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

enum { TILE = 16, WIDE = PERFORMER_WIDEST + 1, EACH = PERFORMER_WIDEST * WIDE / BLOCK + 1 };

struct tile {
    float z[TILE][WIDE], v[TILE][WIDE], phi[TILE][WIDE], o[TILE][WIDE], pull[TILE];
};

/* A tile of tokens from row `row`: z, v (of queries g / total), phi, pull; o is left with dphi phi, but for P_SUM. */
template <int T, int MODE>
static __device__ void read_tile(tile *t, const op_args &a, const float *s, size_t row, int here)
{
    int me = (int)threadIdx.x, d = a.c, m = a.groups;
    const float *w = (const float *)a.x[1];
    __syncthreads(); /* the tile before has been used */
    for (int i = me; i < here * d; i += BLOCK) {
        int k = i / d, e = i % d;
        t->z[k][e] = type_get(a.x[0], T, (3 * (row + k) + (MODE == P_KEY ? 0 : 1)) * d + e);
        t->v[k][e] = MODE == P_KEY ? type_get(a.x[0], T, (3 * (row + k) + 2) * d + e)
                                   : type_get(a.x[3], T, (row + k) * d + e);
    }
    __syncthreads();
    for (int i = me; i < here * m; i += BLOCK)
        t->phi[i / m][i % m] = performer_phi(w + i % m * d, t->z[i / m], d, m);
    __syncthreads();
    if (MODE == P_KEY) {
        if (me < here) t->pull[me] = 1.0f;
    } else {
        for (int i = me; i < here * (d + 1); i += BLOCK)
            t->o[i / (d + 1)][i % (d + 1)] = over_features(t->phi[i / (d + 1)], s, m, d, i % (d + 1));
        __syncthreads();
        if (me < here) {
            float total = t->o[me][d] + 1e-8f;
            t->pull[me] = -over_width(t->o[me], t->v[me], d) / total / total;
            for (int e = 0; e < d; e++)
                t->v[me][e] /= total;
        }
    }
    __syncthreads();
    for (int i = MODE == P_SUM ? here * m : me; i < here * m; i += BLOCK) {
        int k = i / m, f = i % m;
        const float *of = s + f * (d + 1);
        t->o[k][f] = fmaf(t->pull[k], of[d], over_width(t->v[k], of, d)) * t->phi[k][f];
    }
    __syncthreads();
}

template <int T, int MODE> static __global__ void tokens(op_args a, int tiles, size_t blocks)
{
    __shared__ tile t;
    int all = a.h * a.w, d = a.c, m = a.groups;
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int at;
        size_t n = op_divide(b, tiles, &at), row = n * all + at * TILE;
        int here = all - at * TILE < TILE ? all - at * TILE : TILE;
        const float *s = (const float *)a.x[2] + n * m * (d + 1);
        read_tile<T, MODE>(&t, a, s, row, here);
        for (int i = (int)threadIdx.x; i < here * d; i += BLOCK) {
            int k = i / d, e = i % d;
            float dz = through_features(t.o[k], (const float *)a.x[1], t.z[k][e], m, d, e);
            type_put(a.y, T, (3 * (row + k) + (MODE == P_KEY ? 0 : 1)) * d + e, dz);
            if (MODE == P_KEY)
                type_put(a.y, T, (3 * (row + k) + 2) * d + e, over_features(t.phi[k], s, m, d, e));
        }
    }
}

template <int T> static __global__ void chunk_sums(op_args a, int chunks, size_t blocks)
{
    __shared__ tile t;
    int me = (int)threadIdx.x, all = a.h * a.w, d = a.c, m = a.groups, wide = d + 1;
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int chunk;
        size_t n = op_divide(b, chunks, &chunk);
        float sum[EACH] = { 0.0f };
        int end = (chunk + 1) * PERFORMER_CHUNK < all ? (chunk + 1) * PERFORMER_CHUNK : all;
        const float *s = (const float *)a.x[2] + n * m * wide;
        for (int t0 = chunk * PERFORMER_CHUNK; t0 < end; t0 += TILE) {
            int here = end - t0 < TILE ? end - t0 : TILE;
            read_tile<T, P_SUM>(&t, a, s, n * all + t0, here);
#pragma unroll
            for (int q = 0; q < EACH; q++) {
                int i = me + q * BLOCK, f = i / wide, e = i % wide;
                if (f >= m) break;
                for (int k = 0; k < here; k++)
                    sum[q] = fmaf(t.phi[k][f], e < d ? t.v[k][e] : t.pull[k], sum[q]);
            }
        }
#pragma unroll
        for (int q = 0; q < EACH; q++)
            if (me + q * BLOCK < m * wide) ((float *)a.y)[b * m * wide + me + q * BLOCK] = sum[q];
    }
}

template <int MODE> static int tokens_cuda(const op_args *a)
{
    int tiles = (a->h * a->w - 1) / TILE + 1;
    size_t blocks = (size_t)a->n * (size_t)tiles;
    by_type(a->x_type, [&](auto t) {
        launch_joined(tokens<t.value, MODE>, grid_of(blocks), a->stream, *a, tiles, blocks);
    });
    return launched("gradient of the performer");
}

OP_API int performer_back_query_cuda(const op_args *a)
{
    return tokens_cuda<P_QUERY>(a);
}

OP_API int performer_back_key_cuda(const op_args *a)
{
    return tokens_cuda<P_KEY>(a);
}

OP_API int performer_back_sum_cuda(const op_args *a)
{
    int chunks = performer_chunks(a->h * a->w);
    size_t blocks = (size_t)a->n * (size_t)chunks;
    by_type(a->x_type, [&](auto t) {
        launch_joined(chunk_sums<t.value>, grid_of(blocks), a->stream, *a, chunks, blocks);
    });
    return launched("sums of the performer's gradient");
}
#endif
