/* Gradient of softmax at what it was taken of, by rows: y = p (g - sum g p).
 * The CPU twin sums in double, the CUDA twin in float in fixed order; they agree to 2e-6 of the largest |g|.
 *   x0 g [n,h,w,c] f32, or of y's type      x1 p, y  [n,h,w,c] of one type; y may be x1      c up to 8192
 *   Rows are x_c (g) and y_c (p, y) elements apart (0: c); y is 0 from c on.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
int softmax_back_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c, from = (size_t)op_x_stride(a), to = (size_t)op_y_stride(a);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        double sum = 0.0;
        for (size_t k = 0; k < c; k++)
            sum += (double)op_x(a, r * from + k) * (double)type_get(a->x[1], a->y_type, r * to + k);
        for (size_t k = 0; k < to; k++)
            op_y(a, r * to + k,
                 k < c ? type_get(a->x[1], a->y_type, r * to + k) * (op_x(a, r * from + k) - (float)sum) : 0.0f);
    }
    return 0;
}
#else
#include "kernels/rows.h"

template <int X, int Y, int W, int TEAM, int K>
static __global__ void __launch_bounds__(BLOCK)
back(const void *g, const void *p, void *y, int c, int from, int to, size_t rows)
{
    __shared__ float part[WARPS];
    TEAM_ROWS(TEAM, r, lane, rows)
    {
        float v[K], sum = 0.0f;
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
            float q[W];
            load<X, W>(g, r * from + k, v + i);
            load<Y, W>(p, r * to + k, q);
#pragma unroll
            for (int e = 0; e < W; e++)
                sum += k + e < c ? v[i + e] * q[e] : 0.0f;
        });
        sum = team_join<TEAM>(sum, part, join_sum());
        each_vector<TEAM, W, K>(lane, to, [&](int i, int k) {
            float q[W];
            load<Y, W>(p, r * to + k, q);
#pragma unroll
            for (int e = 0; e < W; e++)
                q[e] = k + e < c ? q[e] * (v[i + e] - sum) : 0.0f;
            store<Y, W>(y, r * to + k, q);
        });
    }
}

OP_API int softmax_back_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    int from = op_x_stride(a), to = op_y_stride(a);
    by_types(a->x_type, a->y_type, [&](auto tx, auto ty) {
        by_length(to, [&](auto team, auto held) {
            constexpr int X = tx.value, Y = ty.value, W = wide(X, Y), TEAM = team.value, K = held.value;
            int fast = (from | to) % W == 0 && aligned(a->x[0]) && aligned(a->x[1]) && aligned(a->y);
            launch_joined(fast ? back<X, Y, W, TEAM, K> : back<X, Y, 1, TEAM, K>, grid_of_rows(rows, TEAM),
                          a->stream, a->x[0], a->x[1], a->y, a->c, from, to, rows);
        });
    });
    return launched("gradient of softmax");
}
#endif
