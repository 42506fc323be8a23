/* The gradient of a convolution or linear layer to its input, made of forward convolutions (conv.h).
 *
 * With stride s and padding p, input pixel i = s a + q is reached from gradient pixels a + d - t, d = (q + p) / s,
 * by tap first + s t, first = (q + p) % s.  So the pixels of one phase q are a convolution of stride 1 by every
 * s-th tap, turned round, channels exchanged; with stride 1 there is one phase.
 *   phases   s^2 convolutions, each writes every s-th pixel in place; no tap is wasted
 *   stacked  one convolution with s^2 cin channels over the union of their windows, whose channels then go to their
 *            pixels: for stems, where cin = 3 channels of a phase would fill a fifth of a vector */
#ifndef OUTPOST_CONV_BACK_H
#define OUTPOST_CONV_BACK_H

#include "extract/cpu/conv.h"

typedef struct conv_back conv_back;

/* x: the gradient [cout,h',w'] with the halo that plan_back_halo() wants; y: [cin,h,w].  step: OP_conv_back or
 * OP_linear_back, of any groups but one a channel.  like: holds the same weights, or NULL. */
int conv_back_new(conv_back **out, const plan_step *step, const view *x, const view *y, const conv_back *like);
void conv_back_free(conv_back **c);
/* Bytes of scratch for n images, MEM_ALIGN-aligned. */
size_t conv_back_scratch(const conv_back *c, int n);
/* Whether run() takes an ending; what is left over is the caller's. */
int conv_back_ends(const conv_back *c);
void conv_back_run(const conv_back *c, const view *x, const view *y, const conv_ending *e, void *scratch, int n);

#endif
