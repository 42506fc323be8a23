/* Linear attention with positive random features on NHWC (graph.h: g_performer; models.md 6.3):
 * phi(z) = exp(w z - |z|^2 / 2) / sqrt(m),  y_t = phi(q_t) sum_s phi(k_s) v_s / (phi(q_t) sum_s
 * phi(k_s) + 1e-8).  Choromanski et al. 2021, arXiv:2009.14794, as T2T-ViT has it.
 * All in f32, also on bf16 maps: the exponent would lose too much. */
#ifndef OUTPOST_PERFORMER_H
#define OUTPOST_PERFORMER_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct performer performer;

/* For maps laid out as x [3d,h,w] (channels k, q, v) and y [d,h,w]; p is not read.  s->w: random
 * features [m,d], copied. */
int performer_new(performer **out, const plan_step *s, const view *x, const view *y);
void performer_free(performer **p);
/* Bytes that one worker needs, MEM_ALIGN-aligned. */
size_t performer_scratch(const performer *p);
/* n images; y must not overlap x. */
void performer_run(const performer *p, const view *x, const view *y, void *scratch, int n);

#endif
