/* Group norm, step 3: y = act((x - mean) * factor * gamma[c] + beta[c]) (kernels/groupnorm.h).
 *   x0, y  [n,h,w,c] of one type; y may be x0      x1 gamma, x2 beta: f32 [c]
 *   x3     f32 [n, groups, 2]: mean and factor of each group (kernels/groupnorm_join.cu)      groups, act
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float normed(float x, float mean, float factor, float gamma, float beta)
{
    float d = (x - mean) * factor;
    float p = d * gamma;
    return p + beta;
}
#ifndef __CUDACC__
int groupnorm_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, image = (size_t)a->h * (size_t)a->w * c, count = op_count(a);
    size_t groups = (size_t)a->groups, per = c / groups;
    const float *gamma = op_f32(a, 1), *beta = op_f32(a, 2);
#pragma omp parallel for
    for (size_t i = 0; i < count; i++) {
        size_t k = i % c;
        const float *m = op_f32(a, 3) + 2 * (i / image * groups + k / per);
        op_y(a, i, op_act(normed(op_x(a, i), m[0], m[1], gamma[k], beta[k]), a->act));
    }
    return 0;
}
#else
#include "kernels/launch.h"

/* ONE: the W channels of a thread are of one group. */
template <int T, int W, bool ONE>
static __global__ void fwd(const void *x, const float *gamma, const float *beta, const float *moments,
                           void *y, divisor vectors, divisor plane, divisor per, int groups, int act,
                           size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], s[W], b[W];
        int slot, p, k;
        size_t n = divide(divide(i, vectors, &slot), plane, &p);
        const float *m = moments + 2 * n * groups;
        load<T, W>(x, i * W, v);
        load<KT_F32, W>(gamma, (size_t)slot * W, s);
        load<KT_F32, W>(beta, (size_t)slot * W, b);
        size_t group = divide((size_t)slot * W, per, &k);
#pragma unroll
        for (int e = 0; e < W; e++) {
            if (!ONE) group = divide((size_t)slot * W + e, per, &k);
            v[e] = normed(v[e], m[2 * group], m[2 * group + 1], s[e], b[e]);
        }
        activate<W>(v, act);
        store<T, W>(y, i * W, v);
    }
}

OP_API int groupnorm_fwd_cuda(const op_args *a)
{
    size_t count = op_count(a);
    int per = a->c / a->groups;
    const float *gamma = op_f32(a, 1), *beta = op_f32(a, 2);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        int fast = a->c % W == 0 && aligned(a->x[0]) && aligned(gamma) && aligned(beta) && aligned(a->y);
        int width = fast ? W : 1;
        count /= (size_t)width;
        launch(fast ? per % W == 0 ? fwd<T, W, true> : fwd<T, W, false> : fwd<T, 1, true>,
               blocks_for(count), a->stream, a->x[0], gamma, beta, op_f32(a, 3), a->y,
               divisor_of(a->c / width), divisor_of(a->h * a->w), divisor_of(per), a->groups, a->act,
               count);
    });
    return launched("group norm forward");
}
#endif
