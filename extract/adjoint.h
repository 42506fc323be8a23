/* The gradient of a network, and the network run again, as more nodes of its graph.
 *
 * Both append to the graph; a plan then runs forward, backward and second forward as one program, so that memory,
 * lifetimes and order are the planner's and a backend needs nothing but kernels for the adjoint operators.
 * No gradients of weights. */
#ifndef OUTPOST_ADJOINT_H
#define OUTPOST_ADJOINT_H

#include "extract/graph.h"

/* out[i] = node that holds dL/d wanted[i], in the shape and layout of wanted[i], where `cotangent` holds
 * dL/dy, in y's shape.  All paths from wanted[i] to y count, none beyond y.  -1 in out[i] after an error in the graph, or when y does
 * not depend on wanted[i]; graph_check() then says so (ERR_USAGE).  y itself: `cotangent`.
 * Rules: models.md section 1; ReLU and ReLU6 pass nothing at their corners, a maximum goes to the first of equals. */
void graph_backward(graph *g, int y, int cotangent, const int *wanted, int n, int *out);

typedef struct replay { /* what is exchanged */
    const int *from, *to;             /* [n] nodes, of equal shapes; `to` may depend on `from` */
    int n;
    const int *param, *instead;       /* [n_params] parameters, of equal shapes */
    int n_params;
} replay;

/* out[i] = wanted[i] as it would be with the exchanges of r; nodes that do not see any are shared, not repeated. */
void graph_replay(graph *g, const replay *r, const int *wanted, int n, int *out);

/* y (logits, features) in the form that depends on all of `taps`: itself, or by g_bypass()'s whole way, which
 * costs more.  -1 and ERR_USAGE in the graph when neither does. */
int graph_through(graph *g, int y, const int *taps, int n);

#endif
