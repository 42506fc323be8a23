/* The reference's ops that have a file of their own: one image, double, NCHW planes.
 * v: the node, from: the node it reads, x its value, y the result; of adjoints, d is the gradient at the
 * output of the op, x (or the op's own output y) what the forward pass had there. */
#ifndef OUTPOST_REF_PARTS_H
#define OUTPOST_REF_PARTS_H

#include "extract/plan.h"

/* The outputs [first, end) of `out` whose element at `offset` of the window lies inside a map of `in`. */
void ref_span(int offset, int stride, int in, int out, int *first, int *end);
/* The weights of output channel after output channel, [cout, n], standardised where the node says so. */
void ref_conv_weights(const node *v, const float *w, size_t cout, size_t n, double *out);
void ref_groupnorm(const node *v, const float *gamma, const float *beta, const double *x, double *y);
void ref_layernorm(const node *v, const float *gamma, const float *beta, const double *x, double *y);
void ref_groupnorm_back(const node *v, const float *gamma, const double *d, const double *x, double *y);
void ref_layernorm_back(const node *v, const float *gamma, const double *d, const double *x, double *y);
void ref_pad_crop(const node *v, const node *from, const double *x, double *y);
/* position [t,c], cls [c] */
void ref_embed(const node *v, const float *position, const float *cls, const double *x, double *y);
/* table [(2 window - 1)^2, heads], NULL without windows; 0 or -1 without memory */
int ref_attention(const node *v, const float *table, const double *x, double *y);
int ref_attention_back(const node *v, const float *table, const double *d, const double *x, double *y);
/* features [m,c] */
int ref_performer(const node *v, int m, const float *features, const double *x, double *y);
int ref_performer_back(const node *v, int m, const float *features, const double *d, const double *x,
                       double *y);
void ref_unfold(const node *v, const node *from, const double *x, double *y);
void ref_merge(const node *v, const node *from, const double *x, double *y);

typedef struct ref_call { /* one node of which the files below know the kind */
    const plan *p;
    const node *v, *from;
    const double *x, *z;  /* values of the first and second input */
    double *y;
} ref_call;

/* Adjoints, and what probes add; 0 or -1 without memory. */
int ref_back(const ref_call *c);
int ref_probe(const ref_call *c);

/* What node i of a network of this backend was for the last image, in double; for tests. */
const double *ref_value(const void *net, int i);

#endif
