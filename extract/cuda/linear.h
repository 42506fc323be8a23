/* Linear layers through cuBLASLt: y = x w^T (+ residual) + bias, then ReLU where asked; curves such as
 * GELU are kernels after it, because cuBLASLt's own is the tanh form.
 * The algorithm is chosen once, for the shape, among those that sum in a fixed order. */
#ifndef OUTPOST_CUDA_LINEAR_H
#define OUTPOST_CUDA_LINEAR_H

#include "extract/cuda/device.h"

enum { LINEAR_WORKSPACE = 32 << 20 }; /* bytes that a run may use */

typedef struct linear {
    lt_shape shape;
    void *plan;
} linear;

int linear_new(linear **out, cuda_backend *be, const lt_shape *s);
void linear_free(linear **l);
int linear_run(const linear *l, cuda_backend *be, const lt_operands *o);

#endif
