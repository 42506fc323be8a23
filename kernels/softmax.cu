/* Softmax over the channels of each row: y = exp(s - m) / sum exp(s - m), m the row's maximum of
 * s = scale x + bias (models.md section 1).  A row with NaN or +inf gives NaN throughout, and so does one
 * of -inf only, as in torch.
 * The CPU twin sums in double in order; the CUDA twin sums in float in fixed order and multiplies by
 * 1 / sum.  Both repeat to the bit; together they agree to 2e-6 relative, and one rounding of y's type.
 *   x0, y  [n,h,w,c], of one type or one of them f32; y may be x0 when types and strides are equal
 *   scale  not 0; c up to 8192
 *   Rows may be wider than c: x_c and y_c elements apart (0: c); y is 0 from c on, so that a product over
 *   whole rows is right.
 * Scores of attention in windows: n = images x windows, h = heads, w = queries, c = keys, then also
 *   x1 table: f32 [(2 window - 1)^2, h], or NULL where nothing is added (then no shift, either)
 *   window, shift; oh, ow: the map (kernels/windows.h)
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"
#include "kernels/windows.h"

OP_MATH float softmax_term(float s, float max)
{
    return expf(s - max);
}

/* NaN wins, so that it reaches every element of its row. */
OP_MATH float row_max(float a, float b)
{
    return b > a || b != b ? b : a;
}
#ifndef __CUDACC__
static float score(const op_args *a, size_t row, int k)
{
    float x = op_x(a, row * (size_t)op_x_stride(a) + (size_t)k);
    int window = a->window, q = (int)(row % (size_t)a->w), apart = 0;
    int head = (int)(row / (size_t)a->w % (size_t)a->h);
    const float *table = op_f32(a, 1);
    if (window == 0 || table == NULL) return window_score(x, a->scale, 0.0f, 0);
    int qy = q / window, qx = q % window, ky = k / window, kx = k % window;
    if (a->shift > 0) {
        int across = a->ow / window, windows = a->oh / window * across;
        int at = (int)(row / (size_t)a->w / (size_t)a->h % (size_t)windows);
        int y0 = at / across * window, x0 = at % across * window;
        apart = window_stripe(y0 + qy, a->oh, window, a->shift) !=
                    window_stripe(y0 + ky, a->oh, window, a->shift) ||
                window_stripe(x0 + qx, a->ow, window, a->shift) !=
                    window_stripe(x0 + kx, a->ow, window, a->shift);
    }
    int bias = window_bias_row(qy, qx, ky, kx, window) * a->h + head;
    return window_score(x, a->scale, table[bias], apart);
}

int softmax_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), to = (size_t)op_y_stride(a);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        float max = -INFINITY;
        double sum = 0.0;
        for (int k = 0; k < a->c; k++)
            max = row_max(max, score(a, r, k));
        for (int k = 0; k < a->c; k++)
            sum += (double)softmax_term(score(a, r, k), max);
        for (int k = 0; k < a->c; k++)
            op_y(a, r * to + (size_t)k, (float)((double)softmax_term(score(a, r, k), max) / sum));
        for (size_t k = (size_t)a->c; k < to; k++)
            op_y(a, r * to + k, 0.0f);
    }
    return 0;
}
#else
#include "kernels/rows.h"

struct join_max {
    __device__ float operator()(float a, float b) const { return row_max(a, b); }
};

struct scoring {
    const float *table; /* NULL: none of what follows */
    divisor queries, heads, windows, across, window;
    int oh, ow, shift;
    float scale;
};

/* What the scores of one row have in common. */
struct query {
    int y, x, head;     /* inside the window */
    int y0, x0;         /* of the window */
    int stripe_y, stripe_x;
};

static __device__ __forceinline__ query query_of(const scoring &s, size_t row)
{
    query q;
    int at, token, side = (int)s.window.by;
    divide(divide(divide(row, s.queries, &token), s.heads, &q.head), s.windows, &at);
    q.y = (int)divide((size_t)token, s.window, &q.x);
    q.y0 = (int)divide((size_t)at, s.across, &q.x0) * side;
    q.x0 *= side;
    q.stripe_y = window_stripe(q.y0 + q.y, s.oh, side, s.shift);
    q.stripe_x = window_stripe(q.x0 + q.x, s.ow, side, s.shift);
    return q;
}

static __device__ __forceinline__ float score(const scoring &s, const query &q, float x, int k)
{
    int kx, side = (int)s.window.by, ky = (int)divide((size_t)k, s.window, &kx);
    int apart = s.shift > 0 && (window_stripe(q.y0 + ky, s.oh, side, s.shift) != q.stripe_y ||
                                window_stripe(q.x0 + kx, s.ow, side, s.shift) != q.stripe_x);
    int bias = window_bias_row(q.y, q.x, ky, kx, side) * (int)s.heads.by + q.head;
    return window_score(x, s.scale, s.table[bias], apart);
}

template <int X, int Y, int W, int TEAM, int K>
static __global__ void __launch_bounds__(BLOCK, 2)
fwd(const void *x, void *y, scoring s, int c, int from, int to, size_t rows)
{
    __shared__ float part[WARPS];
    TEAM_ROWS(TEAM, r, lane, rows)
    {
        float v[K], max = -INFINITY, sum = 0.0f;
        query q;
        if (s.table != nullptr) q = query_of(s, r);
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
            load<X, W>(x, r * from + k, v + i);
#pragma unroll
            for (int e = 0; e < W; e++) {
                if (k + e >= c) continue;
                v[i + e] = s.table != nullptr ? score(s, q, v[i + e], k + e)
                                              : window_score(v[i + e], s.scale, 0.0f, 0);
                max = row_max(max, v[i + e]);
            }
        });
        max = team_join<TEAM>(max, part, join_max());
        each_vector<TEAM, W, K>(lane, c, [&](int i, int k) {
#pragma unroll
            for (int e = 0; e < W; e++) {
                if (k + e >= c) continue;
                v[i + e] = softmax_term(v[i + e], max);
                sum += v[i + e];
            }
        });
        float inverse = 1.0f / team_join<TEAM>(sum, part, join_sum());
        each_vector<TEAM, W, K>(lane, to, [&](int i, int k) {
#pragma unroll
            for (int e = 0; e < W; e++)
                v[i + e] = k + e < c ? v[i + e] * inverse : 0.0f;
            store<Y, W>(y, r * to + k, v + i);
        });
    }
}

OP_API int softmax_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    int from = op_x_stride(a), to = op_y_stride(a), side = a->window > 0 ? a->window : 1;
    int map = a->window > 0; /* oh and ow mean something */
    scoring s = { map ? op_f32(a, 1) : nullptr, divisor_of(a->w), divisor_of(a->h),
                  divisor_of(map ? a->oh / side * (a->ow / side) : 1),
                  divisor_of(map ? a->ow / side : 1), divisor_of(side), a->oh, a->ow, a->shift,
                  a->scale };
    by_types(a->x_type, a->y_type, [&](auto tx, auto ty) {
        by_length(to, [&](auto team, auto held) {
            constexpr int X = tx.value, Y = ty.value, W = wide(X, Y), TEAM = team.value;
            constexpr int K = held.value;
            int fast = (from | to) % W == 0 && aligned(a->x[0]) && aligned(a->y);
            launch_joined(fast ? fwd<X, Y, W, TEAM, K> : fwd<X, Y, 1, TEAM, K>,
                          grid_of_rows(rows, TEAM), a->stream, a->x[0], a->y, s, a->c, from, to,
                          rows);
        });
    });
    return launched("softmax forward");
}
#endif
