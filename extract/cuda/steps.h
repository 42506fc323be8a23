/* The steps of a plan on the device: weights converted and uploaded once, then queued batch by batch.
 * Maps have the precision's element type; vectors (maps of one pixel: pooled features, logits) are f32
 * and computed exactly, whatever the precision. */
#ifndef OUTPOST_CUDA_STEPS_H
#define OUTPOST_CUDA_STEPS_H

#include "extract/backend.h"
#include "extract/cuda/attention.h"
#include "extract/cuda/attention_back.h"
#include "extract/cuda/conv.h"
#include "extract/cuda/device.h"
#include "extract/cuda/linear.h"
#include "extract/cuda/sdpa.h"

enum { DEVICE_UNIT = 16 }; /* elements: a plan's offsets are multiples of them */

typedef struct device_plan {
    cuda_backend *be;
    const plan *p;
    precision precision;
    element type; /* of maps */
    size_t batch;
    size_t unit; /* bytes that DEVICE_UNIT elements of a batch take: a multiple of 256 */
    void *arena, *workspace, *blas_workspace;
    void *input;         /* the first map where its channels are padded, else NULL: in the arena */
    int input_channels;  /* as stored; 0: not padded */
    conv_graph **graphs; /* one per kind of convolution */
    size_t n_graphs, graphs_room;
    sdpa_graph **sdpas;  /* one per kind of attention that cuDNN was asked about */
    size_t n_sdpas, sdpas_room;
    int attentions, fused; /* attention steps, and those that are one kernel of cuDNN */
    int tuned; /* engines were chosen by time: tune.h */
} device_plan;

typedef struct device_step {
    const plan_step *s;
    const conv_graph *conv;
    linear *linear;
    attention *attention;
    attention_back *attention_back;
    const sdpa_graph *sdpa; /* takes the place of `attention` */
    void *w, *b, *extra;    /* on the device; extra: what else a step needs, of linear layers the bias in f32 */
    int borrows;            /* an earlier step owns them */
    int stored;             /* channels of a product's weights */
    size_t scratch; /* bytes of the workspace */
    size_t wide;    /* bytes of x, of a convolution's adjoint of y, in wider rows, first in the workspace; 0: as it is */
    size_t stage;   /* where in it y is written in x's type first; 0: written in place */
    size_t bytes;   /* device memory held */
} device_step;

typedef struct device_view { /* a tensor of a batch, dense channels-last */
    void *p;
    int n, c, h, w;
    element type;
} device_view;

int device_plan_init(device_plan *d, cuda_backend *be, const plan *p, precision wanted,
                     size_t batch);
void device_plan_clear(device_plan *d);
device_view device_view_of(const device_plan *d, int tensor);

/* What the step needs: weights, plans of libraries, scratch.  Reads s->w and s->b. */
int step_prepare(device_step *t, device_plan *d, const plan_step *s);
/* Once the workspace is there. */
int step_bind(device_step *t, device_plan *d);
int step_run(const device_step *t, const device_plan *d);
void step_clear(device_step *t, device_plan *d);

/* A copy on the device, freed with the step. */
int step_upload(device_step *t, device_plan *d, const void *v, size_t bytes, void **out);
/* n floats as elements of a type. */
int step_upload_as(device_step *t, device_plan *d, const float *v, size_t n, element type,
                   void **out);
/* The step's weights OIHW as OHWI with `stored` >= i input channels, the rest zero: t->w. */
int step_upload_filters(device_step *t, device_plan *d, size_t o, size_t i, size_t stored,
                        size_t kernel, element type);
/* cuDNN's plan for a key: t->conv; equal layers share one. */
int step_graph_for(device_step *t, device_plan *d, const conv_key *key);
/* 1 where the step's weights are those of an earlier one, whose copies on the device it takes. */
int step_borrow(device_step *t, const device_plan *d);
/* Channels [x_at, x_at + c) of x to those from y_at of y, f32 on either side or on none. */
int step_copy(const device_plan *d, const device_view *x, int x_at, int c, const device_view *y,
              int y_at);
/* Arguments of a kernel from x to y. */
op_args step_args(const device_view *x, const device_view *y);

/* Where in the workspace the moments of chunks lie: group norm. */
size_t step_groupnorm_moments(const device_view *x, int groups);
size_t step_groupnorm_scratch(const device_view *x, int groups); /* with them */

/* steps_attention.c */
int step_attention_prepare(device_step *t, device_plan *d);
/* What cuDNN is asked for an attention node whose results are y (its address is not read). */
void step_attention_key(const node *v, const device_view *y, precision p, sdpa_key *k);
int step_attention_bind(device_step *t, device_plan *d);
int step_attention_run(const device_step *t, const device_plan *d, const device_view *x,
                       const device_view *y);
int step_performer_prepare(device_step *t, device_plan *d, const device_view *x,
                           const device_view *y);
int step_performer_run(const device_step *t, const device_plan *d, const device_view *x,
                       const device_view *y);

/* steps_back.c, steps_probe.c: gradients and what probes add. */
int step_prepare_back(device_step *t, device_plan *d, const device_view *x, const device_view *y);
int step_prepare_probe(device_step *t, device_plan *d, const device_view *x, const device_view *y);
/* Ops that take x and y of different types. */
int step_converts_back(graph_op op);
int step_run_back(const device_step *t, const device_plan *d, const device_view *x,
                  const device_view *y);
int step_run_probe(const device_step *t, const device_plan *d, const device_view *x,
                   const device_view *y);
/* The sum and the derivative that end the step, in place. */
int step_end_back(const device_step *t, const device_plan *d, const device_view *y);
/* steps_attention_back.c */
int step_attention_back_prepare(device_step *t, device_plan *d);
int step_attention_back_bind(device_step *t, device_plan *d);
int step_attention_back_run(const device_step *t, const device_plan *d, const device_view *g,
                            const device_view *x, const device_view *y);
int step_performer_back_prepare(device_step *t, device_plan *d, const device_view *g);
int step_performer_back_run(const device_step *t, const device_plan *d, const device_view *g,
                            const device_view *x, const device_view *y);
/* Sizes and addresses of an attention node whose results, or their gradient, are y. */
attention_shape step_attention_shape(const node *v, const device_view *y, precision p);

/* The input step, from bytes [batch,h,w,3] or from values [batch,3,h,w]. */
int step_normalise(const device_step *t, const device_plan *d, const void *rgb, const float *mean,
                   const float *std);
int step_import(const device_step *t, const device_plan *d, const float *values);
/* An output, as the file has it: f32 [batch,count]. */
int step_export(const device_plan *d, const plan_output *o, float *out);

#endif
