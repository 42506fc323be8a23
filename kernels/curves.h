/* The activations, as operators of their own (curves.cu) and at the end of others (add, bias, ...).
 * Numbered as extract/plan.h's `activation`. */
#ifndef OUTPOST_KERNEL_CURVES_H
#define OUTPOST_KERNEL_CURVES_H

#include "kernels/types.h"

#include <math.h>

enum kernel_act { KA_NONE, KA_RELU, KA_RELU6, KA_GELU, KA_SILU, KA_SIGMOID, KA_COUNT };

/* torch's `x < 0 ? 0 : x`: NaN stays NaN and -0 stays -0. */
OP_MATH float op_relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

/* min(max(x, 0), 6), NaN stays NaN: Howard et al. 2017, arXiv:1704.04861. */
OP_MATH float op_relu6(float x)
{
    return x > 6.0f ? 6.0f : op_relu(x);
}

/* x Phi(x), Phi the normal distribution function: Hendrycks and Gimpel 2016, arXiv:1606.08415.  Not the
 * tanh form, which is off by up to 5e-4. */
OP_MATH float op_gelu(float x)
{
    return 0.5f * x * (1.0f + erff(0.70710678f * x));
}

OP_MATH float op_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* x sigmoid(x): Elfwing et al. 2017, arXiv:1702.03118. */
OP_MATH float op_silu(float x)
{
    return x / (1.0f + expf(-x));
}

OP_MATH float op_act(float x, int act)
{
    switch (act) {
    case KA_RELU: return op_relu(x);
    case KA_RELU6: return op_relu6(x);
    case KA_GELU: return op_gelu(x);
    case KA_SILU: return op_silu(x);
    case KA_SIGMOID: return op_sigmoid(x);
    default: return x;
    }
}

#endif
