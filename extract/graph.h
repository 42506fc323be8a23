/* The words of models: a network as nodes with shapes, weights by name, and taps.
 *
 * A builder keeps the first error in the graph and returns a dead node (-1) after it, so a model
 * reads without checks and the finished graph is checked once, by graph_check().
 * Shapes are per image: [c,h,w]; a vector has h = w = 1.  A graph names no device and holds no
 * weights, only their names and shapes; extract/weights.h binds a checkpoint to it and
 * extract/plan.h turns it into steps. */
#ifndef OUTPOST_GRAPH_H
#define OUTPOST_GRAPH_H

#include <stddef.h>

typedef enum graph_op {
#define OP(name, fewest, most) OP_##name,
#include "extract/ops.def"
#undef OP
    OP_COUNT
} graph_op;

const char *graph_op_name(graph_op op);

typedef struct shape {
    int c, h, w;
} shape;

typedef struct node {
    graph_op op;
    const char *name;        /* the checkpoint's layer name; "" for ops without weights */
    const char *tap;         /* name under which it can be dumped, or NULL */
    int *in;
    int n_in;
    shape out;
    int kernel, stride, pad; /* conv and pools; square windows */
    int groups;              /* conv */
    int ceil_mode;           /* maxpool */
    float eps;               /* batchnorm */
    int weight, bias;        /* parameter indices, -1: none; batchnorm: gamma and beta */
    int mean, var;           /* batchnorm */
} node;

typedef struct param { /* one tensor that the checkpoint must hold */
    const char *name;        /* "layer1.0.conv1.weight" */
    int rank;
    size_t dim[4];
    size_t count;
    int grid_prefix;         /* positions [1, grid_prefix + side * side, d], which can be interpolated
                                from another side: rows before the grid; -1: no positions */
} param;

typedef struct graph graph;

int graph_new(graph **out);
void graph_free(graph **g);

/* ---- builders: return the node's index ------------------------------------------------------ */
int g_input(graph *g, int c, int h, int w);
/* name.weight [cout, cin/groups, k, k]; with bias also name.bias [cout]. */
int g_conv(graph *g, int x, int cout, int kernel, int stride, int pad, const char *name);
int g_conv_bias(graph *g, int x, int cout, int kernel, int stride, int pad, const char *name);
int g_conv_depthwise(graph *g, int x, int kernel, int stride, int pad, const char *name);
/* y = (x - mean) gamma / sqrt(var + 1e-5) + beta, running statistics (models.md section 1). */
int g_batchnorm(graph *g, int x, const char *name);
int g_relu(graph *g, int x);
int g_relu6(graph *g, int x);
/* Padding behaves as minus infinity; ceil_mode as torch. */
int g_maxpool(graph *g, int x, int kernel, int stride, int pad, int ceil_mode);
int g_avgpool(graph *g, int x, int kernel, int stride);
/* Mean over h and w -> vector. */
int g_gap(graph *g, int x);
int g_linear(graph *g, int x, int out, const char *name);
int g_add(graph *g, int a, int b);
int g_concat(graph *g, const int *x, int n);
/* He et al. 2016, option A as akamaster's pytorch_resnet_cifar10 has it: every second row and
 * column, (cout - cin) / 2 zero channels before and after. */
int g_shortcut_a(graph *g, int x, int cout);

/* Marks a node as a tap; returns it. */
int g_tap(graph *g, int x, const char *name);
void g_features(graph *g, int x);                  /* the penultimate vector */
void g_logits(graph *g, int x);
/* Names the last linear layer whose weight and bias are stored as /head: logits = W features + b. */
void g_head(graph *g, const char *name);
int g_channels(const graph *g, int x);
/* printf into memory of the graph. */
const char *g_name(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- reading ------------------------------------------------------------------------------- */
/* The first error of the builders, or a graph without logits. */
int graph_check(const graph *g);
size_t graph_nodes(const graph *g);
const node *graph_node(const graph *g, int i);
size_t graph_params(const graph *g);
const param *graph_param(const graph *g, int i);
int graph_features(const graph *g); /* node index, -1: none */
int graph_logits(const graph *g);
const char *graph_head(const graph *g); /* layer name or NULL */
int graph_find_tap(const graph *g, const char *name); /* node index or -1 */
/* Multiply-adds of one image: convolutions and linear layers (models.md section 0). */
double graph_macs(const graph *g);
size_t graph_parameter_count(const graph *g); /* without BN statistics */

#endif
