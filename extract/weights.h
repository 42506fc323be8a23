/* A checkpoint bound to a graph: every name and every shape reconciled before the first image. */
#ifndef OUTPOST_WEIGHTS_H
#define OUTPOST_WEIGHTS_H

#include "common/arrays.h"
#include "extract/model.h"

typedef struct weights weights;

int weights_open(weights **out, const char *path);
void weights_close(weights **w);
/* Number of classes: first dimension of the classifier's weight; m->classes when it is not there. */
int weights_classes(const weights *w, const model *m);
/* Finds each parameter of g under its own name or an alias of m, after the prefixes that all keys
 * share (module. backbone. _orig_mod.) are dropped.  ERR_INPUT lists missing, unexpected and
 * mis-shaped tensors, tensors with NaN or Inf, and names the network that would fit, if one does. */
int weights_bind(weights *w, const model *m, const graph *g);
/* f32 values of parameter i after weights_bind; borrowed. */
const float *weights_at(const weights *w, int i);
const char *weights_sha256(const weights *w);
const char *weights_prefix(const weights *w);   /* what was dropped, "" when nothing */
const arrays *weights_arrays(const weights *w);
/* The network whose every tensor is in the checkpoint with the right shape, or NULL. */
const model *weights_recognise(const weights *w);

#endif
