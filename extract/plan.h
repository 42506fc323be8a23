/* From a graph and its weights to steps over one arena.
 *
 * Passes: what is needed for the requested outputs; batch norm folded into the convolution before it
 * (in double, rounded once: models.md 13.2), so are weight standardisation, layer scale and RepVGG's parallel
 * branches; residual sum and activation fused behind a convolution or linear layer;
 * concatenation by writing into slices; halos (zero borders) where a convolution pads; lifetimes and
 * offsets.  Gradients likewise: batch norm and layer scale folded into the weights of the adjoint convolution
 * before or behind them, sums and derivatives of activations fused behind it, slices as views.
 * A node that is asked for keeps its exact value: nothing is fused across it.
 * Tensors are NHWC; sizes and offsets are in elements of one image. */
#ifndef OUTPOST_PLAN_H
#define OUTPOST_PLAN_H

#include "extract/graph.h"
#include "extract/weights.h"

typedef enum activation {
    ACT_NONE, ACT_RELU, ACT_RELU6, /* bounds */
    ACT_GELU, ACT_SILU, ACT_SIGMOID /* curves: fused only where no residual is added */
} activation;
typedef enum reduction { REDUCE_NONE, REDUCE_MEAN, REDUCE_SUM, REDUCE_MAX } reduction;

typedef enum plan_kind { /* what a backend can take; bits */
    PLAN_DENSE = 1,      /* whole tensors only: neither slices nor halos */
    PLAN_GRADIENTS = 2   /* `gate`, `after` and `twin` of a step */
} plan_kind;

typedef struct plan_request { /* one output: a node, and how its map is reduced over h, w */
    const char *name;         /* name of the dataset */
    int node;
    reduction reduce;
} plan_request;

typedef struct plan_tensor {
    shape s;
    int node;        /* the graph node whose value it holds */
    int root;        /* tensor whose memory it lies in; itself when it is no slice */
    int channel;     /* first channel inside the root */
    int halo;        /* of a root: border of zeros around h and w */
    size_t at;       /* of a root: offset in the arena */
    size_t elements; /* of a root: (h + 2 halo)(w + 2 halo) c, rounded up to 64 bytes of f32, with at
                        least one element to spare */
    int first, last; /* of a root: steps between which it is alive */
} plan_tensor;

typedef struct plan_step {
    graph_op op;
    const char *name;
    const node *v;        /* the node that it begins with, for what is not repeated here; borrowed */
    const int *x;         /* tensors read; borrowed from the plan */
    int n_x;
    int residual;         /* tensor added before the activation, -1: none */
    int y;                /* tensor written */
    activation act;
    graph_op gate;        /* relu_back ... sigmoid_back: times the derivative at tensor `gate_x`; OP_COUNT: none */
    int gate_x;           /* -1: none */
    int after;            /* the residual is added behind the gate, else before it */
    int twin;             /* earlier step that has the same w and b, which are NULL here; -1: none */
    int kernel, stride, pad, groups; /* linear: 1, 1, 0, 1 */
    float *w, *b;         /* conv OIHW, linear [out,in] and bias [out] (never NULL); their adjoints the same w
                             with the factors of both sides folded in, b NULL;
                             batchnorm, scale: factor and shift [c]; other norms: gamma and beta [c];
                             embed: positions [t,c] and class token [c]; attention: bias table
                             [(2 window - 1)^2, heads] or NULL; performer: features [m,c].
                             Other adjoints: the same, batchnorm's as scale.  gaussian: means [classes,d] and precision
                             [d,d]; deflate: start [c] or NULL */
    size_t w_count;
} plan_step;

typedef struct plan_output {
    const char *name;
    int tensor;
    int node;             /* of the graph */
    reduction reduce;
    tap_layout layout;
    int rank;             /* of one image: 1 for a vector [c]; a map [c,h,w], or as its layout says */
    size_t dim[3];
    size_t count;
} plan_output;

typedef struct plan {
    const graph *g;       /* borrowed: the reference backend runs the graph itself */
    const weights *w;
    plan_step *steps;
    size_t n_steps;
    plan_tensor *tensors;
    size_t n_tensors;
    plan_output *outputs;
    size_t n_outputs;
    size_t arena;         /* elements of one image */
    int *edges;           /* owns the x of the steps */
    size_t n_edges;
} plan;

/* kind: bits of plan_kind. */
int plan_build(plan **out, const graph *g, const weights *w, const plan_request *requests,
               size_t n_requests, int kind);
/* Rows and columns of zeros that a conv_back step reads around its gradient [h,w] for an input of [h,w]. */
int plan_back_halo(const plan_step *s, shape gradient, shape input);
/* Frees the f32 weights once a backend has packed its own. */
void plan_drop_weights(plan *p);
void plan_free(plan **p);

#endif
