/* Everything between the convolutions on NHWC views, f32 or bf16, sums in f32: plain loops over pixels and channels that
 * the compiler vectorises, one clone per instruction set, chosen by the loader.  Sums run in index
 * order.  All work on n images; y never overlaps x unless said. */
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
void map_activate(const view *x, activation act, const view *y, int n);
void map_add(const view *a, const view *b, activation act, const view *y, int n);
void map_copy(const view *x, const view *y, int n);
/* Windows are clipped to the input; NaN wins, as in torch. */
void map_maxpool(const view *x, int kernel, int stride, int pad, const view *y, int n);
/* `sum` is scratch for x->c floats. */
void map_avgpool(const view *x, int kernel, int stride, float *sum, const view *y, int n);
/* Mean over h, w, summed row by row in f32. */
void map_gap(const view *x, float *sum, const view *y, int n);
void map_shortcut_a(const view *x, const view *y, int n);
/* Image `i` of x as the rows of an output: [c,h,w] planes, or one reduction per channel. */
void map_export(const view *x, int i, reduction r, float *out);

#endif
