/* Group norm: y = act((x - mean) / sqrt(var + eps) * gamma[c] + beta[c]), mean and var (divided by the
 * count) of one image's c / groups neighbouring channels over h and w (Wu and He 2018, arXiv:1803.08494).
 * The CPU twin makes two passes in double.  The CUDA twin reads x once for both moments: those of W
 * values at a time are joined by Chan's rule, which loses nothing where the mean is large (Chan, Golub and
 * LeVeque 1979), in fixed order, and a tree over the block.  They agree to 1e-5 of the group's scale for
 * |x| up to 1e18.
 *   x0, y  [n,h,w,c] of one type; y may be x0      x1 gamma, x2 beta: f32 [c]      groups, eps, act
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
    size_t c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w, per = c / (size_t)a->groups;
    size_t all = (size_t)a->n * (size_t)a->groups, count = per * plane;
    const float *gamma = op_f32(a, 1), *beta = op_f32(a, 2);
#pragma omp parallel for
    for (size_t g = 0; g < all; g++) {
        size_t k0 = g % (size_t)a->groups * per, first = g / (size_t)a->groups * plane * c + k0;
        double sum = 0.0, squares = 0.0, mean;
        for (size_t i = 0; i < count; i++)
            sum += (double)op_x(a, first + i / per * c + i % per);
        mean = sum / (double)count;
        for (size_t i = 0; i < count; i++) {
            double d = (double)op_x(a, first + i / per * c + i % per) - mean;
            squares += d * d;
        }
        float factor = (float)(1.0 / sqrt(squares / (double)count + (double)a->eps));
        for (size_t i = 0; i < count; i++) {
            size_t at = first + i / per * c + i % per, k = k0 + i % per;
            float y = normed(op_x(a, at), (float)mean, factor, gamma[k], beta[k]);
            op_y(a, at, op_act(y, a->act));
        }
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct moments {
    float n, mean, squares; /* of deviations */
};

static __device__ __forceinline__ moments join(moments a, moments b)
{
    if (b.n == 0.0f) return a;
    float n = a.n + b.n, d = b.mean - a.mean, share = b.n / n;
    return { n, a.mean + d * share, a.squares + b.squares + d * d * (a.n * share) };
}

template <int W> static __device__ __forceinline__ moments moments_of(const float *v)
{
    moments m = { (float)W, 0.0f, 0.0f };
#pragma unroll
    for (int e = 0; e < W; e++)
        m.mean += v[e];
    m.mean *= 1.0f / W;
#pragma unroll
    for (int e = 0; e < W; e++)
        m.squares += (v[e] - m.mean) * (v[e] - m.mean);
    return m;
}

/* A block per group of an image; per: its channels, in units of W. */
template <int T, int W>
static __global__ void fwd(const void *x, const float *gamma, const float *beta, void *y, int c,
                           int plane, divisor per, divisor groups, float eps, int act, size_t all)
{
    __shared__ float part[3][BLOCK];
    int me = (int)threadIdx.x;
    for (size_t g = blockIdx.x; g < all; g += gridDim.x) {
        int group, k;
        size_t n = divide(g, groups, &group);
        size_t first = n * plane * c + (size_t)group * per.by * W, count = (size_t)plane * per.by;
        moments m = { 0.0f, 0.0f, 0.0f };
        float v[W];
        for (size_t i = (size_t)me; i < count; i += BLOCK) {
            size_t p = divide(i, per, &k);
            load<T, W>(x, first + p * c + (size_t)k * W, v);
            m = join(m, moments_of<W>(v));
        }
        part[0][me] = m.n;
        part[1][me] = m.mean;
        part[2][me] = m.squares;
        for (int half = BLOCK / 2; half > 0; half /= 2) {
            __syncthreads();
            if (me < half) {
                m = join(m, { part[0][me + half], part[1][me + half], part[2][me + half] });
                part[0][me] = m.n;
                part[1][me] = m.mean;
                part[2][me] = m.squares;
            }
        }
        __syncthreads();
        float mean = part[1][0], factor = 1.0f / sqrtf(part[2][0] / part[0][0] + eps);
        for (size_t i = (size_t)me; i < count; i += BLOCK) {
            size_t p = divide(i, per, &k);
            float s[W], b[W];
            load<T, W>(x, first + p * c + (size_t)k * W, v);
            load<KT_F32, W>(gamma, ((size_t)group * per.by + k) * W, s);
            load<KT_F32, W>(beta, ((size_t)group * per.by + k) * W, b);
#pragma unroll
            for (int e = 0; e < W; e++)
                v[e] = normed(v[e], mean, factor, s[e], b[e]);
            activate<W>(v, act);
            store<T, W>(y, first + p * c + (size_t)k * W, v);
        }
        __syncthreads(); /* before part is written again */
    }
}

OP_API int groupnorm_fwd_cuda(const op_args *a)
{
    size_t all = (size_t)a->n * (size_t)a->groups;
    int per = a->c / a->groups, plane = a->h * a->w;
    const float *gamma = op_f32(a, 1), *beta = op_f32(a, 2);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        int fast = per % W == 0 && aligned(a->x[0]) && aligned(gamma) && aligned(beta) && aligned(a->y);
        launch_joined(fast ? fwd<T, W> : fwd<T, 1>, grid_of(all), a->stream, a->x[0], gamma, beta,
                      a->y, a->c, plane, divisor_of(fast ? per / W : per), divisor_of(a->groups),
                      a->eps, a->act, all);
    });
    return launched("group norm forward");
}
#endif
