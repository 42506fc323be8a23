/* Depth-wise convolution on NHWC, every channel has its own k x k window, and its gradient: the same with turned
 * windows, for each phase of the stride by itself (conv_back.h). */
#ifndef OUTPOST_DEPTHWISE_H
#define OUTPOST_DEPTHWISE_H

#include "extract/cpu/conv.h"

typedef struct depthwise depthwise;

/* For inputs laid out as x, which has a halo of at least the step's padding; OP_conv_back: as plan_back_halo() says. */
int depthwise_new(depthwise **out, const plan_step *step, const view *x, const view *y);
void depthwise_free(depthwise **d);
/* y = act(conv(x) + bias) for n images. */
void depthwise_run(const depthwise *d, const view *x, const view *y, activation act, int n);
/* y = ending(the gradient) */
void depthwise_run_back(const depthwise *d, const view *x, const view *y, const conv_ending *e, int n);

#endif
