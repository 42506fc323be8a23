/* Dense convolution on NHWC, own kernels, f32 or bf16 elements, f32 sums.
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

#include <math.h>

enum {
    CONV_PANEL_MAX = 4,          /* vectors of a panel */
    CONV_TILE_MAX = 14 * 2 * 16, /* floats */
    CONV_WORD = 4,               /* bytes of a step for one column: an f32, or two bf16 */
    CONV_TURN_MAX = 8            /* words of a side of what turn() turns */
};

typedef struct conv_segment { /* contiguous part of the window */
    size_t offset;  /* bytes from the window's first element */
    size_t length;  /* elements */
    size_t steps;   /* of `unit` elements; what the last one has too much meets zero weights */
} conv_segment;

typedef struct conv_block { /* segments whose weights of one panel fit the L2 cache */
    size_t first, end;
    size_t steps;
    size_t before;  /* steps of the blocks before it */
} conv_block;

typedef struct conv_tile { /* pixels x_step (y_step, r_step, g_step) bytes apart */
    const char *x, *r, *g;
    char *y;
    int pixels;
    float *sums;              /* [pixels, width] between blocks, rows sum_step apart */
} conv_tile;

typedef struct conv_tile_args {
    const conv_segment *segments;
    size_t n_segments;
    const void *w;            /* packed panel of this block */
    const float *bias;        /* of the panel */
    int first, last;          /* block: start from the bias; finish with residual and activation */
    int columns;              /* valid channels of the panel */
    size_t x_step, y_step, r_step, g_step;
    size_t sum_step;          /* floats */
    float low, high;          /* the activation, as bounds */
    activation curve;         /* or as a curve; ACT_NONE: bounds only */
    graph_op gate;            /* of a gradient: times the derivative at g; OP_COUNT: none */
    int after;                /* the residual is added behind the gate */
} conv_tile_args;

typedef struct depthwise_args { /* one row of outputs, pixels x_step (y_step) bytes apart */
    const size_t *tap;        /* [taps] bytes from the window's first element */
    size_t taps, channels;
    const float *w, *bias;    /* [vectors][taps][lanes], [vectors][lanes] */
    size_t x_step, y_step;
    float low, high;          /* the activation, as bounds */
    activation curve;         /* or as a curve; ACT_NONE: bounds only */
} depthwise_args;

static inline activation activation_curve(activation act)
{
    return act == ACT_GELU || act == ACT_SILU || act == ACT_SIGMOID ? act : ACT_NONE;
}

static inline float activation_low(activation act)
{
    return act == ACT_RELU || act == ACT_RELU6 ? 0.0f : -INFINITY;
}

static inline float activation_high(activation act)
{
    return act == ACT_RELU6 ? 6.0f : INFINITY;
}

typedef struct softmax_args { /* rows of scores, `vectors` whole vectors, `step` floats apart */
    size_t vectors, step;
    float factor;             /* of the scores, > 0; a result is a power of 2 */
} softmax_args;

typedef struct conv_kernel { /* one instruction set and element type */
    const char *name;
    const char *rounding; /* kernels that say the same give the same bits */
    int lanes;      /* channels of a vector */
    int tile_rows;  /* most pixels of a tile with panels of 2 vectors */
    int unit;       /* window elements of one step */
    int is_bf16;
    int turn_side;  /* words of a side of what turn() turns, divides lanes */
    void (*tile)(int vectors, const conv_tile *t, const conv_tile_args *a);
    void (*depthwise)(const depthwise_args *a, const char *x, char *y, size_t pixels);
    void (*curve)(activation act, float *v, size_t n); /* in place */
    void (*slope)(graph_op gate, float *v, const float *at, size_t n); /* v *= derivative at `at` */
    void (*powers)(float *v, float factor, size_t n); /* v = factor e^v, n a multiple of lanes */
    /* What attention does besides its products: */
    /* s -> 2^(factor s + bias + mask - its row's largest) as elements, in place; sums [rows]. */
    void (*softmax)(const softmax_args *a, float *s, const float *bias, const float *mask, size_t rows,
                    float *sums);
    /* Rows of n elements y[at[i]] = v[i] / by[i]; rows of v are `step` floats apart, whole vectors. */
    void (*quotients)(const float *v, size_t step, const float *by, size_t rows, size_t n, char *y,
                      const size_t *at);
    /* Rows of `words` times 4 bytes: to[i] = x[at[i]], `step` words apart. */
    void (*gather)(const char *x, const size_t *at, size_t rows, size_t words, char *to, size_t step);
    /* A square of words turned over: to[j][i] = x[i][k + j], rows of `to` width words apart. */
    void (*turn)(const char *const *x, size_t k, char *to, size_t width);
} conv_kernel;

extern const conv_kernel conv_kernel_base, conv_kernel_avx2, conv_kernel_avx512,
    conv_kernel_avx512bf16;
/* The best one this processor has; OUTPOST_CPU=base|avx2|avx512 asks for less. */
const conv_kernel *conv_kernel_f32(void);
/* NULL where the processor has no bf16 dot products. */
const conv_kernel *conv_kernel_bf16(void);

typedef struct conv conv;

typedef struct conv_shape {
    const char *name;
    int cin, cout, kh, kw, stride;
    int top, left;            /* row and column of the first element of pixel (0,0)'s window */
    const size_t *tap;        /* [kh kw] where the taps lie in w, */
    size_t out_apart, in_apart; /* and outputs and inputs, in floats */
    activation act;
} conv_shape;

/* Packs w (and b [cout], NULL: zeros) for inputs laid out as x (strides of one image; x.p is not read).  `like`, if
 * not NULL, holds the same weights, and shares them where it packed them alike. */
int conv_make(conv **out, const conv_shape *s, const float *w, const float *b, const view *x, const view *y,
              const conv *like);
/* The same for a step of a plan: OP_conv or OP_linear. */
int conv_new(conv **out, const plan_step *step, const view *x, const view *y, const conv *like);
void conv_free(conv **c);
/* y = act(conv(x) + bias + residual) for n images; residual may be NULL. */
void conv_run(const conv *c, const view *x, const view *y, const view *residual, int n);

typedef struct conv_ending { /* of a gradient */
    const view *residual;     /* or NULL */
    graph_op gate;            /* OP_COUNT: none */
    const view *at;           /* where its derivative is taken, in y's shape */
    int after;                /* residual: behind the gate */
} conv_ending;

void conv_run_ending(const conv *c, const view *x, const view *y, const conv_ending *e, int n);
/* Bytes of packed weights that no other convolution shares. */
size_t conv_bytes(const conv *c);

#endif
