/* Layer norm: y = (x - mean) / sqrt(var + eps) * gamma[c] + beta[c] over the channels of each row, var
 * divided by c (Ba et al. 2016, arXiv:1607.06450).
 * Two passes, as E[x^2] - E[x]^2 would lose all digits where the mean is large.  The CPU twin sums in
 * double, the CUDA twin in float in fixed order; they agree to 1e-5 of the row's scale for |x| up to 1e18.
 *   x0, y  [n,h,w,c] of one type; y may be x0      x1 gamma, x2 beta: f32 [c]      eps; c up to 8192
 *   Rows may be wider than c: x_c and y_c elements apart (0: c); y is 0 from c on.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float normed(float x, float mean, float factor, float gamma, float beta)
{
    float d = (x - mean) * factor;
    float p = d * gamma;
    return p + beta;
}
#ifndef __CUDACC__
int layernorm_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    size_t from = (size_t)op_x_stride(a), to = (size_t)op_y_stride(a);
    const float *gamma = op_f32(a, 1), *beta = op_f32(a, 2);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        double sum = 0.0, squares = 0.0, mean;
        for (size_t k = 0; k < c; k++)
            sum += (double)op_x(a, r * from + k);
        mean = sum / (double)c;
        for (size_t k = 0; k < c; k++) {
            double d = (double)op_x(a, r * from + k) - mean;
            squares += d * d;
        }
        float factor = (float)(1.0 / sqrt(squares / (double)c + (double)a->eps));
        for (size_t k = 0; k < to; k++)
            op_y(a, r * to + k,
                 k < c ? normed(op_x(a, r * from + k), (float)mean, factor, gamma[k], beta[k]) : 0.0f);
    }
    return 0;
}
#else
#include "kernels/rows.h"

template <int T, int W, int TEAM, int K>
static __global__ void __launch_bounds__(BLOCK, 2)
fwd(const void *x, const float *gamma, const float *beta, void *y, int c,
    int from, int to, float eps, size_t rows)
{
    __shared__ float part[WARPS];
    TEAM_ROWS(TEAM, r, lane, rows)
    {
        float v[K], sum = 0.0f, squares = 0.0f;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
            load<T, W>(x, r * from + k, v + i);
#pragma unroll
            for (int e = 0; e < W; e++)
                sum += k + e < c ? v[i + e] : 0.0f;
        });
        float mean = team_join<TEAM>(sum, part, join_sum()) / (float)c;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
#pragma unroll
            for (int e = 0; e < W; e++) {
                float d = v[i + e] - mean;
                squares += k + e < c ? d * d : 0.0f;
            }
        });
        float var = team_join<TEAM>(squares, part, join_sum()) / (float)c;
        float factor = 1.0f / sqrtf(var + eps);
        each_vector<TEAM, W, K>(lane, to, [&](int i, int k) {
            float g[W], b[W];
            if (k + W <= c) {
                load<KT_F32, W>(gamma, k, g);
                load<KT_F32, W>(beta, k, b);
#pragma unroll
                for (int e = 0; e < W; e++)
                    v[i + e] = normed(v[i + e], mean, factor, g[e], b[e]);
            } else {
#pragma unroll
                for (int e = 0; e < W; e++)
                    v[i + e] = k + e < c ? normed(v[i + e], mean, factor, gamma[k + e], beta[k + e])
                                         : 0.0f;
            }
            store<T, W>(y, r * to + k, v + i);
        });
    }
}

OP_API int layernorm_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    int from = op_x_stride(a), to = op_y_stride(a);
    const float *gamma = op_f32(a, 1), *beta = op_f32(a, 2);
    by_type(a->x_type, [&](auto t) {
        by_length(to, [&](auto team, auto held) {
            constexpr int T = t.value, W = wide(T), TEAM = team.value, K = held.value;
            int fast = (from | to) % W == 0 && aligned(a->x[0]) && aligned(gamma) &&
                       aligned(beta) && aligned(a->y);
            launch_joined(fast ? fwd<T, W, TEAM, K> : fwd<T, 1, TEAM, K>, grid_of_rows(rows, TEAM),
                          a->stream, a->x[0], gamma, beta, a->y, a->c, from, to, a->eps, rows);
        });
    });
    return launched("layer norm forward");
}
#endif
