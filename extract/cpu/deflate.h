/* A map as a matrix [c, h w] without its largest singular component (graph.h: g_deflate; RankFeat, Song et al.
 * 2022, arXiv:2209.08590), on NHWC, f32 or bf16, sums in double.
 *   exact  Lanczos on the Gram matrix of the channels, which is never formed: a walk over the pixels a step; restarted
 *          from its best vector until the residual is below 1e-10 sigma^2.  Not finite or not found: NaN.
 *   power  the published iteration */
#ifndef OUTPOST_DEFLATE_H
#define OUTPOST_DEFLATE_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct deflation deflation;

/* s->v: kind, iterations; s->w: start [c] of the power iteration. */
int deflate_new(deflation **out, const plan_step *s, const view *x);
void deflate_free(deflation **d);
size_t deflate_scratch(const deflation *d);
/* y may not overlap x. */
int deflate_run(const deflation *d, const view *x, const view *y, void *scratch, int n);

#endif
