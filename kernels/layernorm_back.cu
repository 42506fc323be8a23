/* Gradient of layer norm at its input: with h = g gamma and x' = (x - mean) / sqrt(var + eps), both over the
 * channels of a row, y = (h - mean(h) - x' mean(h x')) / sqrt(var + eps).
 * The CPU twin sums in double, the CUDA twin in float in fixed order, x's statistics in two passes; they agree to
 * 1e-5 of the row's scale.
 *   x0 g, x1 x, y  [n,h,w,c] of one type; y may be x0      x2 gamma: f32 [c]      eps; c up to 8192
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int layernorm_back_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const float *gamma = op_f32(a, 2);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        double mean = 0.0, squares = 0.0, sum = 0.0, product = 0.0, factor;
        for (size_t k = 0; k < c; k++)
            mean += (double)type_get(a->x[1], a->x_type, r * c + k) / (double)c;
        for (size_t k = 0; k < c; k++) {
            double d = (double)type_get(a->x[1], a->x_type, r * c + k) - mean;
            squares += d * d;
        }
        factor = 1.0 / sqrt(squares / (double)c + (double)a->eps);
        for (size_t k = 0; k < c; k++) {
            double h = (double)op_x(a, r * c + k) * (double)gamma[k];
            sum += h / (double)c;
            product += h * ((double)type_get(a->x[1], a->x_type, r * c + k) - mean) * factor / (double)c;
        }
        for (size_t k = 0; k < c; k++) {
            double h = (double)op_x(a, r * c + k) * (double)gamma[k];
            double d = ((double)type_get(a->x[1], a->x_type, r * c + k) - mean) * factor;
            op_y(a, r * c + k, (float)((h - sum - d * product) * factor));
        }
    }
    return 0;
}
#else
#include "kernels/rows.h"

/* The row of x stays in registers; that of g is read twice, the second time from the cache. */
template <int T, int W, int TEAM, int K>
static __global__ void __launch_bounds__(BLOCK)
back(const void *g, const void *x, const float *gamma, void *y, int c, float eps, size_t rows)
{
    __shared__ float part[WARPS];
    TEAM_ROWS(TEAM, r, lane, rows)
    {
        float v[K], sum = 0.0f, squares = 0.0f, product = 0.0f;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
            load<T, W>(x, r * c + k, v + i);
#pragma unroll
            for (int e = 0; e < W; e++)
                sum += v[i + e];
        });
        float mean = team_join<TEAM>(sum, part, join_sum()) / (float)c;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
#pragma unroll
            for (int e = 0; e < W; e++) {
                v[i + e] -= mean;
                squares += v[i + e] * v[i + e];
            }
        });
        float factor = 1.0f / sqrtf(team_join<TEAM>(squares, part, join_sum()) / (float)c + eps);
        sum = 0.0f;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
            float h[W], s[W];
            load<T, W>(g, r * c + k, h);
            load<KT_F32, W>(gamma, k, s);
#pragma unroll
            for (int e = 0; e < W; e++) {
                h[e] *= s[e];
                v[i + e] *= factor;
                sum += h[e];
                product += h[e] * v[i + e];
            }
        });
        sum = team_join<TEAM>(sum, part, join_sum()) / (float)c;
        product = team_join<TEAM>(product, part, join_sum()) / (float)c;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
            float h[W], s[W];
            load<T, W>(g, r * c + k, h);
            load<KT_F32, W>(gamma, k, s);
#pragma unroll
            for (int e = 0; e < W; e++)
                h[e] = (h[e] * s[e] - sum - v[i + e] * product) * factor;
            store<T, W>(y, r * c + k, h);
        });
    }
}

OP_API int layernorm_back_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    const float *gamma = op_f32(a, 2);
    by_type(a->x_type, [&](auto t) {
        by_length(a->c, [&](auto team, auto held) {
            constexpr int T = t.value, W = wide(T), TEAM = team.value, K = held.value;
            int fast = a->c % W == 0 && aligned(a->x[0]) && aligned(a->x[1]) && aligned(gamma) && aligned(a->y);
            launch_joined(fast ? back<T, W, TEAM, K> : back<T, 1, TEAM, K>, grid_of_rows(rows, TEAM), a->stream,
                          a->x[0], a->x[1], gamma, a->y, a->c, a->eps, rows);
        });
    });
    return launched("gradient of layer norm");
}
#endif
