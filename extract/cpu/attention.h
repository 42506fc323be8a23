/* Multi-head attention on NHWC, over all tokens or inside windows (graph.h: g_attention,
 * g_window_attention): y = softmax(scale q k + bias) v.
 *
 * Both products run on the tile kernels of conv.h: the keys and the values of one head and window
 * are packed as panels of weights, queries and probabilities are the pixels.  Scores exist for a block of
 * query rows only, never tokens x tokens.  They are f32, so are softmax and all sums; with bf16
 * maps the probabilities are rounded to bf16 for the second product.
 * Every sum has one order that depends on shapes alone: not on the batch, nor on the thread. */
#ifndef OUTPOST_ATTENTION_H
#define OUTPOST_ATTENTION_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct attention attention;

/* For maps laid out as x [3d,h,w] (channels q, k, v) and y [d,h,w]; p is not read.  s->v: heads,
 * scale, window, shift; s->w: bias table [(2 window - 1)^2, heads] or NULL, copied. */
int attention_new(attention **out, const plan_step *s, const view *x, const view *y);
void attention_free(attention **a);
/* Bytes that one worker needs, MEM_ALIGN-aligned. */
size_t attention_scratch(const attention *a);
/* n images; y must not overlap x. */
void attention_run(const attention *a, const view *x, const view *y, void *scratch, int n);

#endif
