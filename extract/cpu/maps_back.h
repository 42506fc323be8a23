/* Gradients of what lies between the convolutions, on NHWC views, f32 or bf16 (extract/adjoint.c: each takes the
 * gradient g at the output of a forward op to one at its input).  n images; y never overlaps g unless said; element
 * types are equal unless said.  Sums run in one fixed order. */
#ifndef OUTPOST_MAPS_BACK_H
#define OUTPOST_MAPS_BACK_H

#include "extract/cpu/conv.h"

/* y = ending(y): residual and derivative, of one row and of everything. */
void map_end_row(const view *y, const conv_ending *e, size_t i, size_t row);
void map_end(const view *y, const conv_ending *e, int n);
/* y = g times the derivative of `gate` at `at`; y may be g. */
void map_slope(const view *g, graph_op gate, const view *at, const view *y, int n);

typedef struct pool_window {
    int kernel, stride, pad, zero_pad;
} pool_window;

/* To the first maximum of each window in row-major order, with NaN to the last one; dropped when that is a zero of
 * the border.  x: what the forward read. */
void map_maxpool_back(const view *g, const view *x, const pool_window *w, void *scratch, const view *y,
                      const conv_ending *e, int n);
size_t map_maxpool_back_scratch(const view *g, const pool_window *w);
/* A window's share to each of its elements inside the map; `sum` is scratch for y->c floats. */
void map_avgpool_back(const view *g, int kernel, int stride, float *sum, const view *y, int n);
/* g / (h w) everywhere; g is a vector, of another element type perhaps.  `t`: y->c floats. */
void map_gap_back(const view *g, float *t, const view *y, int n);
/* Zeros but for channels [first, first + g->c). */
void map_slice_back(const view *g, int first, const view *y, int n);
/* Sums over h, w: of x, and of g x; y: vectors of floats.  t: 2 x->c floats. */
void map_sum(const view *x, float *t, const view *y, int n);
void map_gate_back(const view *g, const view *x, float *t, const view *y, int n);
void map_shortcut_a_back(const view *g, const view *y, int n);

/* ---- tokens ---- */
void token_embed_back(const view *g, const view *y, int n);
/* Zeros but for one token; element types may differ. */
void token_take_back(const view *g, int index, const view *y, int n);
/* `sum`: y->c floats */
void token_unfold_back(const view *g, int kernel, int stride, int pad, float *sum, const view *y, int n);
void token_merge_back(const view *g, const view *y, int n);

#endif
