/* Builders of convolutional networks. */
#include "extract/graph_parts.h"


int g_input(graph *g, int c, int h, int w)
{
    return graph_add_node(g, OP_input, NULL, 0, "input", (shape){ c, h, w });
}

static int add_conv(graph *g, int x, int cout, int kernel, int stride, int pad, int groups,
                    int with_bias, const char *name)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (s.c % groups != 0 || cout % groups != 0) return graph_fail(g, "groups do not divide", name);
    if (s.h + 2 * pad < kernel || s.w + 2 * pad < kernel) return graph_fail(g, "window too large", name);
    y = graph_add_node(g, OP_conv, &x, 1, name,
                 (shape){ cout, (s.h + 2 * pad - kernel) / stride + 1,
                          (s.w + 2 * pad - kernel) / stride + 1 });
    if (y < 0) return y;
    g->nodes[y].kernel = kernel;
    g->nodes[y].stride = stride;
    g->nodes[y].pad = pad;
    g->nodes[y].groups = groups;
    g->nodes[y].weight = graph_add_param(g, g_name(g, "%s.weight", name), 4,
                                   (const int[]){ cout, s.c / groups, kernel, kernel });
    if (with_bias) g->nodes[y].bias = graph_add_vector(g, name, "bias", cout);
    return y;
}

int g_conv(graph *g, int x, int cout, int kernel, int stride, int pad, const char *name)
{
    return add_conv(g, x, cout, kernel, stride, pad, 1, 0, name);
}

int g_conv_bias(graph *g, int x, int cout, int kernel, int stride, int pad, const char *name)
{
    return add_conv(g, x, cout, kernel, stride, pad, 1, 1, name);
}

int g_conv_depthwise(graph *g, int x, int kernel, int stride, int pad, const char *name)
{
    int c = g_channels(g, x);
    return add_conv(g, x, c, kernel, stride, pad, c, 0, name);
}

int g_conv_depthwise_bias(graph *g, int x, int kernel, int stride, int pad, const char *name)
{
    int c = g_channels(g, x);
    return add_conv(g, x, c, kernel, stride, pad, c, 1, name);
}

int g_conv_groups(graph *g, int x, int cout, int kernel, int stride, int pad, int groups,
                  const char *name)
{
    return add_conv(g, x, cout, kernel, stride, pad, groups, 0, name);
}

int g_conv_standardised(graph *g, int x, int cout, int kernel, int stride, int pad,
                        const char *name)
{
    int y = g_conv(g, x, cout, kernel, stride, pad, name);
    if (y >= 0) g->nodes[y].standardise = 1;
    return y;
}

/* gamma and beta */
static void add_affine(graph *g, int y, const char *name, float eps)
{
    if (y < 0) return;
    g->nodes[y].eps = eps;
    g->nodes[y].weight = graph_add_vector(g, name, "weight", g->nodes[y].out.c);
    g->nodes[y].bias = graph_add_vector(g, name, "bias", g->nodes[y].out.c);
}

int g_groupnorm(graph *g, int x, int groups, const char *name)
{
    int y;
    if (graph_is_dead(g, x)) return -1;
    if (graph_shape(g, x).c % groups != 0) return graph_fail(g, "groups do not divide", name);
    y = graph_add_node(g, OP_groupnorm, &x, 1, name, graph_shape(g, x));
    if (y >= 0) g->nodes[y].groups = groups;
    add_affine(g, y, name, 1e-5f);
    return y;
}

int g_layernorm(graph *g, int x, float eps, const char *name)
{
    int y;
    if (graph_is_dead(g, x)) return -1;
    y = graph_add_node(g, OP_layernorm, &x, 1, name, graph_shape(g, x));
    add_affine(g, y, name, eps);
    return y;
}

int g_batchnorm(graph *g, int x, const char *name)
{
    int y, c;
    if (graph_is_dead(g, x)) return -1;
    y = graph_add_node(g, OP_batchnorm, &x, 1, name, graph_shape(g, x));
    add_affine(g, y, name, 1e-5f);
    if (y < 0) return y;
    c = g->nodes[y].out.c;
    g->nodes[y].mean = graph_add_vector(g, name, "running_mean", c);
    g->nodes[y].var = graph_add_vector(g, name, "running_var", c);
    return y;
}

/* The same shape out as in, nothing to learn. */
static int add_pointwise(graph *g, graph_op op, int x)
{
    return graph_is_dead(g, x) ? -1 : graph_add_node(g, op, &x, 1, "", graph_shape(g, x));
}

int g_relu(graph *g, int x) { return add_pointwise(g, OP_relu, x); }
int g_relu6(graph *g, int x) { return add_pointwise(g, OP_relu6, x); }
int g_gelu(graph *g, int x) { return add_pointwise(g, OP_gelu, x); }
int g_silu(graph *g, int x) { return add_pointwise(g, OP_silu, x); }
int g_sigmoid(graph *g, int x) { return add_pointwise(g, OP_sigmoid, x); }

/* torch: the last window must start inside the input or its left padding. */
static int pooled(int size, int kernel, int stride, int pad, int ceil_mode)
{
    int room = size + 2 * pad - kernel;
    int out = (ceil_mode ? (room + stride - 1) / stride : room / stride) + 1;
    if (ceil_mode && (out - 1) * stride >= size + pad) out--;
    return out;
}

static int add_pool(graph *g, graph_op op, int x, int kernel, int stride, int pad, int ceil_mode)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (s.h + 2 * pad < kernel || s.w + 2 * pad < kernel) return graph_fail(g, "window too large", "pool");
    y = graph_add_node(g, op, &x, 1, "",
                 (shape){ s.c, pooled(s.h, kernel, stride, pad, ceil_mode),
                          pooled(s.w, kernel, stride, pad, ceil_mode) });
    if (y < 0) return y;
    g->nodes[y].kernel = kernel;
    g->nodes[y].stride = stride;
    g->nodes[y].pad = pad;
    g->nodes[y].ceil_mode = ceil_mode;
    return y;
}

int g_maxpool(graph *g, int x, int kernel, int stride, int pad, int ceil_mode)
{
    return add_pool(g, OP_maxpool, x, kernel, stride, pad, ceil_mode);
}

int g_maxpool_zero_pad(graph *g, int x, int kernel, int stride, int pad)
{
    int y = add_pool(g, OP_maxpool, x, kernel, stride, pad, 0);
    if (y >= 0) g->nodes[y].zero_pad = 1;
    return y;
}

int g_avgpool_ceil(graph *g, int x, int kernel, int stride)
{
    return add_pool(g, OP_avgpool, x, kernel, stride, 0, 1);
}

int g_avgpool(graph *g, int x, int kernel, int stride)
{
    return add_pool(g, OP_avgpool, x, kernel, stride, 0, 0);
}

int g_gap(graph *g, int x)
{
    return graph_is_dead(g, x) ? -1 : graph_add_node(g, OP_gap, &x, 1, "", (shape){ graph_shape(g, x).c, 1, 1 });
}

static int add_linear(graph *g, int x, int out, int with_bias, const char *name)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    y = graph_add_node(g, OP_linear, &x, 1, name, (shape){ out, s.h, s.w });
    if (y < 0) return y;
    g->nodes[y].kernel = g->nodes[y].stride = 1;
    g->nodes[y].weight =
        graph_add_param(g, g_name(g, "%s.weight", name), 2, (const int[]){ out, s.c });
    if (with_bias) g->nodes[y].bias = graph_add_vector(g, name, "bias", out);
    return y;
}

int g_linear(graph *g, int x, int out, const char *name)
{
    return add_linear(g, x, out, 1, name);
}

int g_linear_plain(graph *g, int x, int out, const char *name)
{
    return add_linear(g, x, out, 0, name);
}

int g_add(graph *g, int a, int b)
{
    shape s, t;
    if (graph_is_dead(g, a) || graph_is_dead(g, b)) return -1;
    s = graph_shape(g, a);
    t = graph_shape(g, b);
    if (s.c != t.c || s.h != t.h || s.w != t.w) return graph_fail(g, "sum of unequal shapes", "add");
    return graph_add_node(g, OP_add, (const int[]){ a, b }, 2, "", s);
}

int g_concat(graph *g, const int *x, int n)
{
    shape s = { 0, 0, 0 };
    for (int i = 0; i < n; i++) {
        shape t;
        if (graph_is_dead(g, x[i])) return -1;
        t = graph_shape(g, x[i]);
        if (i > 0 && (t.h != s.h || t.w != s.w)) return graph_fail(g, "unequal maps", "concat");
        s = (shape){ s.c + t.c, t.h, t.w };
    }
    return graph_add_node(g, OP_concat, x, n, "", s);
}

int g_shortcut_a(graph *g, int x, int cout)
{
    shape s;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (cout < s.c || (cout - s.c) % 2 != 0) return graph_fail(g, "channels do not fit", "shortcut");
    return graph_add_node(g, OP_shortcut_a, &x, 1, "", (shape){ cout, (s.h + 1) / 2, (s.w + 1) / 2 });
}

int g_scale(graph *g, int x, const char *name)
{
    int y = add_pointwise(g, OP_scale, x);
    if (y < 0) return y;
    g->nodes[y].name = name;
    g->nodes[y].weight = graph_add_param(g, name, 1, &g->nodes[y].out.c);
    return y;
}

int g_gate(graph *g, int x, int v)
{
    shape s, t;
    if (graph_is_dead(g, x) || graph_is_dead(g, v)) return -1;
    s = graph_shape(g, x);
    t = graph_shape(g, v);
    if (t.c != s.c || t.h != 1 || t.w != 1) return graph_fail(g, "not a vector of c", "gate");
    return graph_add_node(g, OP_gate, (const int[]){ x, v }, 2, "", s);
}

int g_slice(graph *g, int x, int first, int c)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (first < 0 || c < 1 || first + c > s.c) return graph_fail(g, "channels do not fit", "slice");
    y = graph_add_node(g, OP_slice, &x, 1, "", (shape){ c, s.h, s.w });
    if (y >= 0) g->nodes[y].offset = first;
    return y;
}

int g_pad(graph *g, int x, int h, int w)
{
    shape s;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (h < s.h || w < s.w) return graph_fail(g, "smaller than the map", "pad");
    return graph_add_node(g, OP_pad, &x, 1, "", (shape){ s.c, h, w });
}

int g_crop(graph *g, int x, int h, int w)
{
    shape s;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (h > s.h || w > s.w) return graph_fail(g, "larger than the map", "crop");
    return graph_add_node(g, OP_crop, &x, 1, "", (shape){ s.c, h, w });
}
