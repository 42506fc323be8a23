/* What ends a step of a gradient: y = f'(s) (g + r), or f'(s) g + r, f' the derivative of an activation at what
 * the forward pass kept: y of ReLU, ReLU6 and the logistic function, x of the others.  A factor of 0 passes
 * nothing, not even an infinity.
 *   x0 g, y  [n,h,w,c] of one type; y may be x0      act, KA_NONE: without factor
 *   x1 s     of the same type and shape, unless act is KA_NONE
 *   x2 r     likewise, or NULL                        KF_AFTER: r is added last
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float op_slope(float s, int act)
{
    float e;
    switch (act) {
    case KA_RELU: return s <= 0.0f ? 0.0f : 1.0f;
    case KA_RELU6: return s <= 0.0f || s >= 6.0f ? 0.0f : 1.0f;
    case KA_SIGMOID: return s * (1.0f - s);
    case KA_GELU: return 0.5f * erfcf(-0.70710678f * s) + s * expf(-0.5f * s * s) * 0.39894228f;
    case KA_SILU:
        e = 1.0f / (1.0f + expf(-s));
        return e + s * e * (1.0f - e);
    default: return 1.0f;
    }
}

OP_MATH float op_end(float g, float s, float r, int act, int after)
{
    float f = op_slope(s, act), v = after ? g : g + r;
    v = f == 0.0f ? 0.0f : f * v;
    return after ? v + r : v;
}
#ifndef __CUDACC__
int slope_back_cpu(const op_args *a)
{
    size_t count = op_count(a);
    int after = (a->flags & KF_AFTER) != 0;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++) {
        float s = a->act != KA_NONE ? type_get(a->x[1], a->x_type, i) : 0.0f;
        float r = a->x[2] != NULL ? type_get(a->x[2], a->x_type, i) : 0.0f;
        op_y(a, i, op_end(op_x(a, i), s, r, a->act, after));
    }
    return 0;
}
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void back(const void *g, const void *s, const void *r, void *y, int act, int after,
                            size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W], at[W] = { 0.0f }, more[W] = { 0.0f };
        load<T, W>(g, i * W, v);
        if (act != KA_NONE) load<T, W>(s, i * W, at);
        if (r != nullptr) load<T, W>(r, i * W, more);
#pragma unroll
        for (int e = 0; e < W; e++)
            v[e] = op_end(v[e], at[e], more[e], act, after);
        store<T, W>(y, i * W, v);
    }
}

OP_API int slope_back_cuda(const op_args *a)
{
    size_t count = op_count(a);
    int after = (a->flags & KF_AFTER) != 0;
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (count % W == 0 && aligned(a->x[0]) && aligned(a->x[1]) && aligned(a->x[2]) && aligned(a->y))
            launch(back<T, W>, blocks_for(count / W), a->stream, a->x[0], a->x[1], a->x[2], a->y, a->act,
                   after, count / W);
        else
            launch(back<T, 1>, blocks_for(count), a->stream, a->x[0], a->x[1], a->x[2], a->y, a->act, after,
                   count);
    });
    return launched("derivative of an activation");
}
#endif
