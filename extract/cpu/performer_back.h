/* The gradient of linear attention (performer.h) to keys, queries and values.  With K = sum_s phi(k_s) v_s',
 * z = sum_s phi(k_s), N = phi(q) K, D = phi(q) z + 1e-8, y = N / D and g the gradient at y:
 *   dN = g / D      dD = -(g . N) / D^2      dphi(q) = dN K' + dD z      dK = sum phi(q)' dN      dz = sum dD phi(q)
 *   dphi(k) = v dK' + dz      dv = phi(k) dK      dx = (dphi phi) w - (sum of dphi phi) x    for x = q and k
 * Three walks over the tokens: keys, queries, keys.  All in f32, also on bf16 maps. */
#ifndef OUTPOST_PERFORMER_BACK_H
#define OUTPOST_PERFORMER_BACK_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct performer_back performer_back;

/* g: [d,h,w]; y, the gradient of x, and x: [3d,h,w], channels k, q, v.  s->w: features [m,d], copied. */
int performer_back_new(performer_back **out, const plan_step *s, const view *g, const view *y);
void performer_back_free(performer_back **p);
/* Bytes that one worker needs, MEM_ALIGN-aligned. */
size_t performer_back_scratch(const performer_back *p);
/* n images; x: what the forward read. */
void performer_back_run(const performer_back *p, const view *g, const view *x, const view *y, void *scratch, int n);

#endif
