/* A checkpoint bound to a graph: every name and every shape reconciled before the first image.
 * open -> choose the layout -> build the graph for its classes and variant -> bind. */
#ifndef OUTPOST_WEIGHTS_H
#define OUTPOST_WEIGHTS_H

#include "common/arrays.h"
#include "extract/model.h"
#include "extract/positions.h"

typedef struct weights weights;

int weights_open(weights **out, const char *path);
void weights_close(weights **w);

/* Picks the layout of m that fits the file best for side x side input; the first of equals.  0 always,
 * also when none fits (weights_bind says why), unless out of memory. */
int weights_choose(weights *w, const model *m, int side);
/* What was chosen; NULL and "" before. */
const layout *weights_layout(const weights *w);
const char *weights_layout_name(const weights *w);
/* Number of classes: first dimension of the classifier's weight; m->classes when it is not there. */
int weights_classes(const weights *w, const model *m);

/* How position embeddings of another grid are resampled; POSITIONS_PLAIN when not called. */
void weights_set_positions(weights *w, positions_how how);
/* Finds each parameter of g under the chosen layout of m (chosen here if it was not), after the prefixes
 * that all keys share (module. backbone. _orig_mod.) are dropped.  ERR_INPUT lists missing, unexpected
 * and mis-shaped tensors, tensors with NaN or Inf, stored tables that are not what the network
 * computes (relative_position_index, attn_mask), and names the network that would fit, if one does.
 * Parameters that a probe brings or derives (param.given, param.base) are not looked for in the file; the given
 * ones stay the graph's, which must then outlive w. */
int weights_bind(weights *w, const model *m, const graph *g);
/* f32 values of parameter i after weights_bind; borrowed. */
const float *weights_at(const weights *w, int i);
/* After weights_bind: 1, and the sides of both grids, when positions were resampled. */
int weights_resampled(const weights *w, int *from, int *to);

const char *weights_sha256(const weights *w);
const char *weights_prefix(const weights *w);   /* what was dropped, "" when nothing */
const arrays *weights_arrays(const weights *w);

typedef struct recognised { /* a network that a checkpoint may belong to */
    const model *m;
    const layout *l;         /* its layout; NULL-named when the names are the graph's own */
    char layout[40];         /* the layout's name */
    int classes;
    int side;                /* input that the stored positions are for: m->prep.side where they fit */
} recognised;

/* The networks all of whose tensors, and nothing else, the checkpoint holds: those of the right input
 * size first, then those whose positions need resampling; else in the order of `models`.  Writes up to
 * `room`, returns how many there are. */
size_t weights_recognise(const weights *w, recognised *out, size_t room);
/* For a file that none fits: the network that makes sense of most of it, with what is wrong in words
 * ("2 tensors missing, 1 unexpected").  0 when no network makes sense of half of it. */
int weights_nearest(const weights *w, recognised *out, char *wrong, size_t room);

#endif
