/* Convolution and its gradient to the input by oneDNN on dense NHWC (no halo, no slices), f32 or bf16.
 * Used for bf16 where the processor has AMX tiles, which our own kernels do not use, and on request
 * (OUTPOST_CPU=onednn).  The only file that calls oneDNN; its C API of version 2. */
#ifndef OUTPOST_CONV_DNNL_H
#define OUTPOST_CONV_DNNL_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct conv_dnnl conv_dnnl;

/* Whether the processor has AMX and oneDNN uses it. */
int conv_dnnl_has_amx(void);
/* A primitive for exactly n images, one thread; x, y give shape and element type.  OP_conv_back, OP_linear_back: x is
 * the gradient; residual and gate are not its business. */
int conv_dnnl_new(conv_dnnl **out, const plan_step *step, const view *x, const view *y, int n);
void conv_dnnl_free(conv_dnnl **c);
/* Bytes of scratch that run needs, 64-byte aligned. */
size_t conv_dnnl_scratch(const conv_dnnl *c);
int conv_dnnl_run(const conv_dnnl *c, const view *x, const view *y, const view *residual,
                  void *scratch);

#endif
