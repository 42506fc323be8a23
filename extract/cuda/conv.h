/* Convolutions through cuDNN's graph API:
 *   y = act(conv(x, w) + residual + bias), in this order: residual before bias is what the precompiled
 *   engines fuse (the other order has none without a run-time compiler).
 * x [n,h,w,c], w [k,kernel,kernel,c/groups], residual and y [n,oh,ow,k] of one element type, bias [k]
 * of the same type; sums in f32.  What no engine fuses is left to the caller: the graph's own key says
 * what it does.
 * With `back` its adjoint: x [n,oh,ow,k] is the gradient, y [n,h,w,c] what it gives to the input, w the same; nothing is
 * fused. */
#ifndef OUTPOST_CUDA_CONV_H
#define OUTPOST_CUDA_CONV_H

#include "extract/cuda/dnn.h"
#include "extract/plan.h"

enum { CONV_WORKSPACE = 512 << 20 }; /* bytes that an engine may use */

typedef struct conv_key {
    int n, c, h, w; /* of x */
    int k, oh, ow;  /* of y */
    int kernel, stride, pad, groups;
    int back;       /* y and x change places: the gradient at y to that at x */
    int residual;   /* whether one is added; with `back` none */
    activation act; /* ACT_NONE or ACT_RELU */
    precision precision;
} conv_key;

typedef struct conv_graph {
    conv_key asked, key; /* what is wanted, and what it does */
    dnn_list list;       /* what the plans refer to */
    dnn_plan *plans;     /* candidates, best first */
    int n_plans;
    int chosen;
} conv_graph;

/* Up to `room` plans.  Where no engine does all of `asked`, the residual and the activation, or the
 * activation, are left out of the graph's key, for kernels of ours; ERR_ENV when nothing is left. */
int conv_graph_new(conv_graph **out, const dnn_target *t, const conv_key *asked, size_t workspace,
                   int room);
void conv_graph_free(conv_graph **g);
size_t conv_graph_workspace(const conv_graph *g); /* of the candidates that are left */
/* Queues the chosen plan on the handle's stream; with `back` bias and residual are not read. */
int conv_graph_run(const conv_graph *g, void *handle, const void *x, const void *w,
                   const void *bias, const void *residual, void *y, void *workspace);
/* One line for tune files and messages. */
void conv_key_text(const conv_key *key, char *text, size_t room);

#endif
