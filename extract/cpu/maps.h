/* Everything between the convolutions on NHWC views, f32 or bf16, made of the rows in
 * extract/cpu/lines.h.  Arithmetic is in f32, sums run in one fixed order.  All work on n images; y
 * never overlaps x unless said; element types are equal unless said. */
#ifndef OUTPOST_MAPS_H
#define OUTPOST_MAPS_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

#include <stdint.h>

/* u8 RGB [n,h,w,3] -> y, through a table of 3 x 256 values; per = bytes from image to image. */
void map_normalise(const uint8_t *rgb, size_t per, const float table[3][256], const view *y, int n);
/* f32 planes [n,c,h,w] -> y; per = floats from image to image. */
void map_import(const float *chw, size_t per, const view *y, int n);
/* Zeroes the halo around y's channels. */
void map_zero_halo(const view *y, int n);
/* y = act(x * scale[c] + shift[c]) */
void map_scale_shift(const view *x, const float *scale, const float *shift, activation act,
                     const view *y, int n);
/* y may be x. */
void map_activate(const view *x, activation act, const view *y, int n);
/* y may be a. */
void map_add(const view *a, const view *b, activation act, const view *y, int n);
/* y = x v[c], v a vector of floats for each image */
void map_gate(const view *x, const view *v, const view *y, int n);
/* x's channels and pixels into y's first ones; element types may differ. */
void map_copy(const view *x, const view *y, int n);
/* Channels [first, first + y->c) */
void map_slice(const view *x, int first, const view *y, int n);
/* Cut below and to the right, or filled up with zeros there. */
void map_fit(const view *x, const view *y, int n);
/* Windows are clipped to the input, which with zero_pad means that a zero takes part; NaN wins, as in
 * torch. */
void map_maxpool(const view *x, int kernel, int stride, int pad, int zero_pad, const view *y, int n);
/* A window at the border divides by what lies inside.  `sum` is scratch for x->c floats; element
 * types may differ. */
void map_avgpool(const view *x, int kernel, int stride, float *sum, const view *y, int n);
/* Mean over h, w: sums of rows, then of those.  `sum` is scratch for 2 x->c floats; element types may
 * differ. */
void map_gap(const view *x, float *sum, const view *y, int n);
void map_shortcut_a(const view *x, const view *y, int n);
/* Image `i` of x as the rows of an output: the map in its layout, or one reduction per channel. */
void map_export(const view *x, int i, reduction r, tap_layout layout, float *out);

#endif
