/* Depth-wise convolution on NHWC: every channel has its own k x k window. */
#ifndef OUTPOST_DEPTHWISE_H
#define OUTPOST_DEPTHWISE_H

#include "extract/cpu/conv.h"

typedef struct depthwise depthwise;

/* For inputs laid out as x, which has a halo of at least the step's padding. */
int depthwise_new(depthwise **out, const plan_step *step, const view *x);
void depthwise_free(depthwise **d);
/* y = act(conv(x) + bias) for n images. */
void depthwise_run(const depthwise *d, const view *x, const view *y, activation act, int n);

#endif
