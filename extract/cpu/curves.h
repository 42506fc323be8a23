/* The activations that are no bounds, on the best instruction set (conv.h):
 *   ACT_GELU  x Phi(x)      ACT_SILU  x / (1 + exp(-x))      ACT_SIGMOID  1 / (1 + exp(-x))
 * NaN stays NaN; at the infinities GELU and SiLU are inf and, as in torch, NaN at -inf.
 * Other activations leave v alone.  The choice of kernel is made at every call: call it on long
 * runs, not per element. */
#ifndef OUTPOST_CURVES_H
#define OUTPOST_CURVES_H

#include "extract/plan.h"

#include <stddef.h>

/* v[i] = act(v[i]) */
void curve_apply(activation act, float *v, size_t n);
/* v[i] *= the derivative at at[i]; gate: relu_back, relu6_back, gelu_back, silu_back, sigmoid_back.  Nothing passes
 * the corners of ReLU and ReLU6. */
void curve_slope(graph_op gate, float *v, const float *at, size_t n);

#endif
