/* The gradient of attention (attention.h) to its queries, keys and values.  With S = scale q k' + bias, P = softmax(S),
 * y = P v and g the gradient at y:
 *   dv = P' g      dP = g v'      dS = P (dP - sum_j P dP)      dq = scale dS k      dk = scale dS' q
 * A block of query rows at a time: its S and P are computed again, as in the forward; nothing of tokens x tokens
 * exists.  All in f32, also on bf16 maps.  Every sum has one order that depends on shapes alone. */
#ifndef OUTPOST_ATTENTION_BACK_H
#define OUTPOST_ATTENTION_BACK_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct attention_back attention_back;

/* g: [d,h,w]; y, the gradient of x, and x: [3d,h,w], alike in shape (s->x[1] lies as it does at run time). */
int attention_back_new(attention_back **out, const plan_step *s, const view *g, const view *y);
void attention_back_free(attention_back **a);
/* Bytes that one worker needs, MEM_ALIGN-aligned. */
size_t attention_back_scratch(const attention_back *a);
/* n images; x: what the forward read. */
void attention_back_run(const attention_back *a, const view *g, const view *x, const view *y, void *scratch, int n);

#endif
