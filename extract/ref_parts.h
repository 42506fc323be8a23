/* The reference's ops that have a file of their own: one image, double, NCHW planes.
 * v: the node, from: the node it reads, x its value, y the result. */
#ifndef OUTPOST_REF_PARTS_H
#define OUTPOST_REF_PARTS_H

#include "extract/graph.h"

void ref_groupnorm(const node *v, const float *gamma, const float *beta, const double *x, double *y);
void ref_layernorm(const node *v, const float *gamma, const float *beta, const double *x, double *y);
void ref_pad_crop(const node *v, const node *from, const double *x, double *y);
/* position [t,c], cls [c] */
void ref_embed(const node *v, const float *position, const float *cls, const double *x, double *y);
/* table [(2 window - 1)^2, heads], NULL without windows; 0 or -1 without memory */
int ref_attention(const node *v, const float *table, const double *x, double *y);
/* features [m,c] */
int ref_performer(const node *v, int m, const float *features, const double *x, double *y);
void ref_unfold(const node *v, const node *from, const double *x, double *y);
void ref_merge(const node *v, const node *from, const double *x, double *y);

#endif
