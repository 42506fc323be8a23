/* The activations as operators: y = f(x), f of kernels/curves.h (relu, relu6, gelu, silu, sigmoid).
 *   x0, y  [n,h,w,c] of one type; y may be x0
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

#ifndef __CUDACC__
static int curve_cpu(const op_args *a, int act)
{
    size_t count = op_count(a);
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        op_y(a, i, op_act(op_x(a, i), act));
    return 0;
}
#define CURVE(name, act)                                                                           \
    int name##_fwd_cpu(const op_args *a) { return curve_cpu(a, act); }
#else
#include "kernels/launch.h"

template <int T, int W>
static __global__ void fwd(const void *x, void *y, int act, size_t count)
{
    GRID_STRIDE(i, count)
    {
        float v[W];
        load<T, W>(x, i * W, v);
        activate<W>(v, act);
        store<T, W>(y, i * W, v);
    }
}

static int curve_cuda(const op_args *a, int act, const char *name)
{
    size_t count = op_count(a);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        if (count % W == 0 && aligned(a->x[0]) && aligned(a->y))
            launch(fwd<T, W>, blocks_for(count / W), a->stream, a->x[0], a->y, act, count / W);
        else
            launch(fwd<T, 1>, blocks_for(count), a->stream, a->x[0], a->y, act, count);
    });
    return launched(name);
}
#define CURVE(name, act)                                                                           \
    OP_API int name##_fwd_cuda(const op_args *a) { return curve_cuda(a, act, #name " forward"); }
#endif

CURVE(relu, KA_RELU)
CURVE(relu6, KA_RELU6)
CURVE(gelu, KA_GELU)
CURVE(silu, KA_SILU)
CURVE(sigmoid, KA_SIGMOID)
