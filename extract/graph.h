/* The words of models: a network as nodes with shapes, weights by name, and taps.
 *
 * A builder keeps the first error in the graph and returns a dead node (-1) after it, so a model
 * reads without checks and the finished graph is checked once, by graph_check().
 * Shapes are per image: [c,h,w]; a vector has h = w = 1.  Tokens are a map too: t tokens of width d have
 * c = d and h * w = t, in row-major order of h, w, so that an image's patches need no reshaping (a
 * class token makes it h = t, w = 1).  A graph names no device and holds no
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

typedef struct shape {
    int c, h, w;
} shape;

typedef enum tap_layout { /* how a dumped map is stored: as the published module has it */
    TAP_CHW,    /* [c,h,w] */
    TAP_HWC,    /* [h,w,c] */
    TAP_TOKENS  /* [h w,c] */
} tap_layout;

typedef enum cotangent_kind { /* which scalar of the logits z of one image; what OP_cotangent gives is dL/dz */
    COTANGENT_CE,        /* cross entropy of z / scale at the predicted class: (softmax(z / scale) - e) / scale;
                            of equal logits the first is predicted */
    COTANGENT_UNIFORM,   /* cross entropy to the uniform distribution: softmax(z) - 1 / c */
    COTANGENT_LOGSUMEXP, /* softmax(z) */
    COTANGENT_MAX,       /* the largest logit: e at the first of the largest */
    COTANGENT_LOGIT      /* logit `offset`: e there */
} cotangent_kind;

typedef enum perturb_kind { /* how OP_perturb changes x by a gradient g; e = amount / divisor[c], s the sign of g */
    PERTURB_SIGN,     /* x - e s, s = 1 where g = 0: ODIN's */
    PERTURB_SIGN0,    /* x - e s, s = 0 where g = 0 */
    PERTURB_LARGEST,  /* x - e s, only the first of the elements of largest |g|, in the order of [c,h,w]: i-ODIN;
                         s = 1 where g = 0 */
    PERTURB_SMALLEST, /* x + e s, s = 0 where g = 0, of the (int)(c h w share) elements of smallest |g|,
                         earlier ones in the order of [c,h,w] first: AdaSCALE */
    PERTURB_FGSM      /* min(max(x + e s, 0), 1), s = 0 where g = 0 */
} perturb_kind;

typedef enum deflate_kind {
    DEFLATE_EXACT,    /* x - x v v', v the largest right singular vector of x [c, h w] */
    DEFLATE_POWER     /* power iteration, `iterations` times from a start [c] that is parameter `weight` */
} deflate_kind;

typedef struct node {
    graph_op op;
    const char *name;        /* the checkpoint's layer name; "" for ops without weights */
    const char *tap;         /* name under which it can be dumped, or NULL */
    tap_layout layout;       /* of the tap */
    int *in;
    int n_in;
    shape out;
    int kernel, stride, pad; /* conv, pools, unfold; square windows */
    int groups;              /* conv, groupnorm */
    int standardise;         /* conv: each output channel's weights to mean 0, variance 1 */
    int ceil_mode;           /* pools */
    int zero_pad;            /* maxpool: padding is zeros that take part, not minus infinity */
    float eps;               /* norms */
    int heads;               /* attention */
    float scale;             /* attention: factor of q k */
    int window, shift;       /* attention: side of a window (0: all tokens see all), cyclic shift */
    int offset;              /* slice: first channel; token: its index */
    int weight, bias;        /* parameter indices, -1: none; norms: gamma and beta; embed: positions
                                and class token; attention: bias table; performer: features w */
    int mean, var;           /* batchnorm */
    int kind;                /* cotangent, perturb, deflate: which one */
    float amount;            /* perturb */
    double share;            /* perturb: the product with c h w is cut to an integer, as published */
    float divisor[3];        /* perturb: by channel */
    int iterations;          /* deflate */
} node;

typedef struct param { /* one tensor that the checkpoint must hold */
    const char *name;        /* "layer1.0.conv1.weight" */
    int rank;
    size_t dim[4];
    size_t count;
    int grid_prefix;         /* positions [1, grid_prefix + side * side, d], which can be interpolated
                                from another side: rows before the grid; -1: no positions */
    const float *given;      /* a constant that a probe brings; NULL: the checkpoint's.  Owned by the graph */
    int base, removals;      /* parameter `base` as a matrix [dim 0, rest] without its `removals` largest
                                singular components (RankWeight); -1: no derived one */
} param;

typedef struct graph graph;

int graph_new(graph **out);
void graph_free(graph **g);

/* ---- builders: return the node's index ------------------------------------------------------
 * Layers of the same name share their parameters, which must then have the same shapes. */
int g_input(graph *g, int c, int h, int w);
/* name.weight [cout, cin/groups, k, k]; with bias also name.bias [cout]. */
int g_conv(graph *g, int x, int cout, int kernel, int stride, int pad, const char *name);
int g_conv_bias(graph *g, int x, int cout, int kernel, int stride, int pad, const char *name);
int g_conv_depthwise(graph *g, int x, int kernel, int stride, int pad, const char *name);
int g_conv_depthwise_bias(graph *g, int x, int kernel, int stride, int pad, const char *name);
int g_conv_groups(graph *g, int x, int cout, int kernel, int stride, int pad, int groups,
                  const char *name);
/* Weight standardisation: w' = (w - mean) / sqrt(var + 1e-10) over all but the first dimension, biased
 * variance (Qiao et al. 2019, arXiv:1903.10520, with BiT's epsilon). */
int g_conv_standardised(graph *g, int x, int cout, int kernel, int stride, int pad,
                        const char *name);
/* y = (x - mean) gamma / sqrt(var + 1e-5) + beta, running statistics (models.md section 1). */
int g_batchnorm(graph *g, int x, const char *name);
/* Statistics of one image over c / groups channels and h, w (Wu and He 2018), eps 1e-5. */
int g_groupnorm(graph *g, int x, int groups, const char *name);
/* Over the channels of each pixel or token; biased variance. */
int g_layernorm(graph *g, int x, float eps, const char *name);
int g_relu(graph *g, int x);
int g_relu6(graph *g, int x);
int g_gelu(graph *g, int x);    /* exact: x Phi(x), by erf */
int g_silu(graph *g, int x);    /* x / (1 + exp(-x)) */
int g_sigmoid(graph *g, int x);
/* Padding behaves as minus infinity; ceil_mode as torch. */
int g_maxpool(graph *g, int x, int kernel, int stride, int pad, int ceil_mode);
/* An explicit border of zeros that take part in the maximum, then windows without padding (BiT). */
int g_maxpool_zero_pad(graph *g, int x, int kernel, int stride, int pad);
int g_avgpool(graph *g, int x, int kernel, int stride);
/* ceil_mode, count_include_pad = false: a window at the border divides by its real elements. */
int g_avgpool_ceil(graph *g, int x, int kernel, int stride);
/* Mean over h and w -> vector. */
int g_gap(graph *g, int x);
/* name.weight [out, c], name.bias [out]; on the channels of every pixel or token. */
int g_linear(graph *g, int x, int out, const char *name);
int g_linear_plain(graph *g, int x, int out, const char *name); /* without bias */
int g_add(graph *g, int a, int b);
/* y = x * weight[c]; `name` is the parameter's whole name [c] (layer scale, ConvNeXt). */
int g_scale(graph *g, int x, const char *name);
/* y = x * v[c], v a vector (squeeze and excitation). */
int g_gate(graph *g, int x, int v);
int g_slice(graph *g, int x, int first, int c); /* channels [first, first + c) */
/* Zeros below and to the right up to h x w, and the way back. */
int g_pad(graph *g, int x, int h, int w);
int g_crop(graph *g, int x, int h, int w);
int g_concat(graph *g, const int *x, int n);
/* He et al. 2016, option A as akamaster's pytorch_resnet_cifar10 has it: every second row and
 * column, (cout - cin) / 2 zero channels before and after. */
int g_shortcut_a(graph *g, int x, int cout);

/* ---- builders of transformers --------------------------------------------------------------- */
/* Patches [d,h,w] -> tokens [d, 1 + h w, 1]: the class token `cls` [1,1,d] first, then plus the positions
 * `pos` [1, 1 + h w, d]; both are whole parameter names. */
int g_embed(graph *g, int x, const char *cls, const char *pos);
int g_token(graph *g, int x, int index); /* -> vector */
/* Multi-head attention on q, k, v of width d: x [3d,h,w], channels [q; k; v], head j at j d/heads of
 * each -> softmax(scale q k) v, [d,h,w]; projections are linear layers around it (Vaswani et al. 2017). */
int g_attention(graph *g, int x, int heads, float scale);
/* The same inside windows of window x window pixels, which must divide the map, after a cyclic shift by
 * `shift` up and left (undone afterwards), plus a bias per head from `table` (whole name,
 * [(2 window - 1)^2, heads]) and -100 between tokens that the shift brought together
 * (Liu et al. 2021, arXiv:2103.14030; models.md 4.3).  Scale (d/heads)^-1/2. */
int g_window_attention(graph *g, int x, int heads, int window, int shift, const char *table);
/* Linear attention of T2T-ViT's performer stage (models.md 6.3, steps 2 and 3): x [3d,h,w], channels
 * [k; q; v] -> [d,h,w]; `w` (whole name) [m,d] are its random features. */
int g_performer(graph *g, int x, int features, const char *w);
/* torch.nn.Unfold: [c,h,w] -> [c kernel^2, h', w'], channel (c kernel + ky) kernel + kx. */
int g_unfold(graph *g, int x, int kernel, int stride, int pad);
/* Patch merging of Swin: [c,h,w] -> [4c, ceil h/2, ceil w/2], channels of the pixels (even row, even
 * column), (odd, even), (even, odd), (odd, odd); an odd side gets a border of zeros. */
int g_merge(graph *g, int x);

/* ---- builders of probes ---------------------------------------------------------------------- */
/* Sum over h and w -> vector. */
int g_sum(graph *g, int x);
/* Gradient of a scalar of logits z (a vector) with respect to them. temperature: COTANGENT_CE; which:
 * COTANGENT_LOGIT. */
int g_cotangent(graph *g, int z, cotangent_kind kind, float temperature, int which);
/* The layer-wise Gaussian score of a vector x [d], q_k = -1/2 (x - m_k)' P (x - m_k) for classes k: gradient of
 * -max_k q_k with respect to x, P (x - m_k*), P symmetric, of equal scores the first.  means: parameter [classes,d], precision: [d,d]. */
int g_gaussian(graph *g, int x, int means, int precision);
/* x changed by its gradient; divisor: 3 floats or NULL for ones.  share: PERTURB_SMALLEST. */
int g_perturb(graph *g, int x, int gradient, perturb_kind kind, float amount, double share,
              const float *divisor);
/* x [c, h w] without its largest singular component.  start: parameter [c] of DEFLATE_POWER, else -1. */
int g_deflate(graph *g, int x, deflate_kind kind, int iterations, int start);
/* Row sums of Gram matrices: for q = 1..powers, F = x^q as [c, h w], v = the row sums of F F', then
 * sign(v) |v|^(1/q) -> vector [powers c], powers outermost (OpenOOD's `gram`). */
int g_gram(graph *g, int x, int powers);
/* A constant of `rank` <= 4 dimensions, whose values are copied; parameter index or -1. */
int g_constant(graph *g, const char *name, int rank, const int *dim, const float *values);
/* Parameter p without its largest singular components; parameter index or -1. */
int g_deflated(graph *g, int p, int removals);

/* Marks a node as a tap; returns it. */
int g_tap(graph *g, int x, const char *name);
int g_tap_as(graph *g, int x, const char *name, tap_layout layout);
void g_features(graph *g, int x);                  /* the penultimate vector */
void g_logits(graph *g, int x);
/* `quick` has the value of `whole` but sees fewer taps: a class token that is taken before the rest of the last
 * layer, and after it.  graph_through() goes by `whole` where a tap asks for it. */
void g_bypass(graph *g, int quick, int whole);
/* Names the last linear layer, or 1x1 convolution of the feature vector, whose weight and bias are stored
 * as /head: logits = W features + b. */
void g_head(graph *g, const char *name);
/* An input size that the network does not take; ERR_USAGE, in these words. */
void g_refuse(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
int g_channels(const graph *g, int x);
shape g_shape(const graph *g, int x); /* 1,1,1 after an error */
/* printf into memory of the graph. */
const char *g_name(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- reading ------------------------------------------------------------------------------- */
const char *graph_op_name(graph_op op); /* as ops.def has it */
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
/* Multiply-adds of one image: convolutions, linear layers, attention products (models.md section 0).
 * Of layers that share their weights the first one counts. */
double graph_macs(const graph *g);
size_t graph_parameter_count(const graph *g); /* without BN statistics and what probes bring */

#endif
