#include "extract/cpu/curves.h"
#include "extract/cpu/conv.h"

void curve_apply(activation act, float *v, size_t n)
{
    conv_kernel_f32()->curve(act, v, n);
}

void curve_slope(graph_op gate, float *v, const float *at, size_t n)
{
    conv_kernel_f32()->slope(gate, v, at, n);
}
