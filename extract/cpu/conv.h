/* Dense convolution on NHWC f32, own kernels.
 *
 * An output tile is up to `tile_rows` pixels of one row by a panel of channels, held in registers.
 * Because inputs carry a halo of zeros where a convolution pads, the window of a pixel is kernel
 * rows of contiguous (kx, ci) runs at fixed offsets from the pixel's own address; nothing is copied
 * and no border is special.  Weights are packed once, panel by panel.  The sum over the window has
 * one fixed order, so an image's result does not depend on the batch it came in. */
#ifndef OUTPOST_CONV_H
#define OUTPOST_CONV_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

enum { CONV_PANEL_MAX = 4 }; /* vectors of a panel */

typedef struct conv_segment { /* contiguous part of the window */
    size_t offset;  /* elements from the window's first element */
    size_t length;
} conv_segment;

typedef struct conv_block { /* segments whose weights of one panel fit the L2 cache */
    size_t first, end, length;
    size_t packed; /* offset of its first panel in the packed weights */
} conv_block;

/* One tile: pixels x_step (y_step, r_step) elements apart. */
typedef struct conv_tile {
    const float *x, *r;
    float *y;
    int pixels;
} conv_tile;

typedef struct conv_tile_args {
    const conv_segment *segments;
    size_t n_segments;
    const float *w;           /* packed panel of this block */
    const float *bias;        /* of the panel; NULL: go on from y */
    int last;                 /* add the residual, apply the activation */
    int columns;              /* valid channels of the panel */
    size_t x_step, y_step, r_step;
    activation act;
} conv_tile_args;

typedef struct conv_kernel { /* one instruction set */
    const char *name;
    int lanes;      /* floats of a vector */
    int tile_rows;  /* most pixels of a tile with panels of 2 vectors */
    void (*tile)(int vectors, const conv_tile *t, const conv_tile_args *a);
} conv_kernel;

extern const conv_kernel conv_kernel_base, conv_kernel_avx2, conv_kernel_avx512;
/* The best one this processor has; OUTPOST_CPU=base|avx2|avx512 asks for less. */
const conv_kernel *conv_kernel_best(void);

typedef struct conv {
    const conv_kernel *kernel;
    int cout, kernel_size, stride, pad;
    activation act;
    conv_segment *segments;
    conv_block *blocks;
    size_t n_segments, n_blocks;
    float *packed, *bias;
    int *panels;      /* vectors of each panel */
    int n_panels;
} conv;

/* Packs step's weights for inputs laid out as x (strides of one image; x.p is not read). */
int conv_new(conv **out, const plan_step *step, const view *x, const view *y);
void conv_free(conv **c);
/* y = act(conv(x) + bias + residual) for n images; residual may be NULL. */
void conv_run(const conv *c, const view *x, const view *y, const view *residual, int n);

#endif
