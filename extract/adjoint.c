#include "extract/adjoint.h"
#include "extract/graph_parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>

typedef struct backward {
    graph *g;
    unsigned char *reaches; /* [nodes of the forward] depends on something wanted */
    int *grad;              /* [nodes of the forward] gradient so far, -1: none */
} backward;

/* ---- one operator ------------------------------------------------------------------------------- */

/* The adjoint `op` of node i: everything that it is made of, and the shape of its first input. */
static int mirror(graph *g, graph_op op, int i, int gradient, int saved)
{
    node v = g->nodes[i]; /* a copy: appending moves nodes */
    const int in[2] = { gradient, saved };
    int y = graph_add_node(g, op, in, saved >= 0 ? 2 : 1, v.name, graph_shape(g, v.in[0]));
    if (y < 0) return y;
    v.op = op;
    v.in = g->nodes[y].in;
    v.n_in = g->nodes[y].n_in;
    v.out = g->nodes[y].out;
    v.tap = NULL;
    v.layout = TAP_CHW;
    g->nodes[y] = v;
    return y;
}

static int slice_of(graph *g, int i, int k, int gradient)
{
    int first = 0;
    for (int j = 0; j < k; j++)
        first += graph_shape(g, g->nodes[i].in[j]).c;
    return g_slice(g, gradient, first, graph_shape(g, g->nodes[i].in[k]).c);
}

/* y = x w[c] is its own adjoint. */
static int scale_again(graph *g, int i, int gradient)
{
    int y = graph_add_node(g, OP_scale, &gradient, 1, g->nodes[i].name, graph_shape(g, gradient));
    if (y >= 0) g->nodes[y].weight = g->nodes[i].weight;
    return y;
}

/* What node i gives to its input k, from the gradient at its output. */
static int contribution(graph *g, int i, int k, int gradient)
{
    const node *v = &g->nodes[i];
    int x = v->in[0];
    shape s = graph_shape(g, x);
    switch (v->op) {
    case OP_conv: return mirror(g, OP_conv_back, i, gradient, -1);
    case OP_batchnorm: return mirror(g, OP_batchnorm_back, i, gradient, -1);
    case OP_groupnorm: return mirror(g, OP_groupnorm_back, i, gradient, x);
    case OP_layernorm: return mirror(g, OP_layernorm_back, i, gradient, x);
    case OP_relu: return mirror(g, OP_relu_back, i, gradient, i);
    case OP_relu6: return mirror(g, OP_relu6_back, i, gradient, i);
    case OP_gelu: return mirror(g, OP_gelu_back, i, gradient, x);
    case OP_silu: return mirror(g, OP_silu_back, i, gradient, x);
    case OP_sigmoid: return mirror(g, OP_sigmoid_back, i, gradient, i);
    case OP_maxpool: return mirror(g, OP_maxpool_back, i, gradient, x);
    case OP_avgpool: return mirror(g, OP_avgpool_back, i, gradient, -1);
    case OP_gap: return mirror(g, OP_gap_back, i, gradient, -1);
    case OP_linear: return mirror(g, OP_linear_back, i, gradient, -1);
    case OP_add: return gradient;
    case OP_concat: return slice_of(g, i, k, gradient);
    case OP_slice: return mirror(g, OP_slice_back, i, gradient, -1);
    case OP_scale: return scale_again(g, i, gradient);
    case OP_gate:
        return k == 0 ? g_gate(g, gradient, v->in[1])
                      : graph_add_node(g, OP_gate_back, (const int[]){ gradient, x }, 2, "",
                                       graph_shape(g, v->in[1]));
    case OP_pad: return g_crop(g, gradient, s.h, s.w);
    case OP_crop: return g_pad(g, gradient, s.h, s.w);
    case OP_embed: return mirror(g, OP_embed_back, i, gradient, -1);
    case OP_token: return mirror(g, OP_token_back, i, gradient, -1);
    case OP_attention: return mirror(g, OP_attention_back, i, gradient, x);
    case OP_performer: return mirror(g, OP_performer_back, i, gradient, x);
    case OP_unfold: return mirror(g, OP_unfold_back, i, gradient, -1);
    case OP_merge: return mirror(g, OP_merge_back, i, gradient, -1);
    case OP_shortcut_a: return mirror(g, OP_shortcut_a_back, i, gradient, -1);
    default: return graph_fail(g, "no gradient through this operator", v->name);
    }
}

/* ---- all of them -------------------------------------------------------------------------------- */

static int is_among(int i, const int *v, int n)
{
    for (int k = 0; k < n; k++)
        if (v[k] == i) return 1;
    return 0;
}

static void find_reach(backward *b, int y, const int *wanted, int n)
{
    for (int i = 0; i <= y; i++) {
        const node *v = &b->g->nodes[i];
        b->reaches[i] = (unsigned char)is_among(i, wanted, n);
        for (int k = 0; k < v->n_in; k++)
            b->reaches[i] |= b->reaches[v->in[k]];
    }
}

static void spread(backward *b, int i)
{
    for (int k = 0; k < b->g->nodes[i].n_in; k++) {
        int x = b->g->nodes[i].in[k], more;
        if (!b->reaches[x]) continue;
        more = contribution(b->g, i, k, b->grad[i]);
        b->grad[x] = b->grad[x] < 0 ? more : g_add(b->g, b->grad[x], more);
    }
}

/* The k-th gradient in the layout of its tap; a copy where that node is somebody else's too. */
static int laid_out(graph *g, const int *out, int k, tap_layout layout, int first)
{
    int gradient = out[k];
    shape s = graph_shape(g, gradient);
    if (g->nodes[gradient].layout == layout) return gradient;
    if (gradient < first || is_among(gradient, out, k)) gradient = g_crop(g, gradient, s.h, s.w);
    if (!graph_is_dead(g, gradient)) g->nodes[gradient].layout = layout;
    return gradient;
}

void graph_backward(graph *g, int y, int cotangent, const int *wanted, int n, int *out)
{
    backward b = { .g = g };
    int first = (int)g->n;
    for (int k = 0; k < n; k++)
        out[k] = -1;
    if (graph_is_dead(g, y) || graph_is_dead(g, cotangent)) return;
    g->rc = mem_new(&b.reaches, (size_t)y + 1, 1, "gradient");
    if (g->rc == 0) g->rc = mem_new(&b.grad, (size_t)y + 1, sizeof *b.grad, "gradient");
    if (g->rc < 0) goto done;
    for (int i = 0; i <= y; i++)
        b.grad[i] = -1;
    b.grad[y] = cotangent;
    find_reach(&b, y, wanted, n);
    for (int i = y; i >= 0 && g->rc == 0; i--)
        if (b.grad[i] >= 0 && b.reaches[i]) spread(&b, i);
    for (int k = 0; k < n && g->rc == 0; k++) {
        if (wanted[k] >= 0 && wanted[k] <= y) out[k] = b.grad[wanted[k]];
        if (out[k] < 0) g_refuse(g, "no gradient: the scalar does not depend on that tap");
        else out[k] = laid_out(g, out, k, g->nodes[wanted[k]].layout, first);
    }
done:
    free(b.reaches);
    free(b.grad);
}

/* ---- again -------------------------------------------------------------------------------------- */

static int instead_of(const replay *r, int parameter)
{
    for (int k = 0; k < r->n_params; k++)
        if (r->param[k] == parameter) return r->instead[k];
    return parameter;
}

static int exchanged(const replay *r, int i)
{
    for (int k = 0; k < r->n; k++)
        if (r->from[k] == i) return r->to[k];
    return -1;
}

/* Node i on the mapped inputs; i itself when nothing that it sees is exchanged. */
static int repeat(graph *g, const replay *r, const int *map, int i)
{
    node v = g->nodes[i];
    int weight = instead_of(r, v.weight), bias = instead_of(r, v.bias);
    int changed = weight != v.weight || bias != v.bias, y;
    int *in = NULL;
    for (int k = 0; k < v.n_in; k++)
        changed |= map[v.in[k]] != v.in[k];
    if (!changed) return i;
    g->rc = mem_new(&in, (size_t)v.n_in, sizeof *in, "replay");
    if (g->rc < 0) return -1;
    for (int k = 0; k < v.n_in; k++)
        in[k] = map[v.in[k]];
    y = graph_add_node(g, v.op, in, v.n_in, v.name, v.out);
    free(in);
    if (y < 0) return y;
    v.in = g->nodes[y].in;
    v.tap = NULL;
    v.weight = weight;
    v.bias = bias;
    g->nodes[y] = v;
    return y;
}

static void mark_needed(const graph *g, unsigned char *need, int last)
{
    for (int i = last; i >= 0; i--)
        for (int k = 0; need[i] && k < g->nodes[i].n_in; k++)
            need[g->nodes[i].in[k]] = 1;
}

void graph_replay(graph *g, const replay *r, const int *wanted, int n, int *out)
{
    unsigned char *need = NULL;
    int *map = NULL, count = (int)g->n;
    for (int k = 0; k < n; k++)
        out[k] = -1;
    if (g->rc < 0) return;
    g->rc = mem_new(&need, (size_t)count, 1, "replay");
    if (g->rc == 0) g->rc = mem_new(&map, (size_t)count, sizeof *map, "replay");
    if (g->rc < 0) goto done;
    for (int k = 0; k < n; k++)
        if (!graph_is_dead(g, wanted[k])) need[wanted[k]] = 1;
    mark_needed(g, need, count - 1);
    for (int i = 0; i < count && g->rc == 0; i++) {
        map[i] = i;
        if (!need[i]) continue;
        map[i] = exchanged(r, i) >= 0 ? exchanged(r, i) : repeat(g, r, map, i);
    }
    for (int k = 0; k < n && g->rc == 0; k++)
        if (wanted[k] >= 0) out[k] = map[wanted[k]];
done:
    free(need);
    free(map);
}

/* ---- the way that a tap is on --------------------------------------------------------------------- */

/* 1, 0, or -1 without memory */
static int depends_on(graph *g, int y, int x)
{
    unsigned char *sees = NULL;
    int found;
    if (x < 0 || x > y) return 0;
    g->rc = mem_new(&sees, (size_t)y + 1, 1, "gradient");
    if (g->rc < 0) return -1;
    sees[x] = 1;
    for (int i = x + 1; i <= y; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            sees[i] |= sees[g->nodes[i].in[k]];
    found = sees[y];
    free(sees);
    return found;
}

static int depends_on_all(graph *g, int y, const int *taps, int n)
{
    int all = 1;
    for (int k = 0; k < n && all > 0; k++)
        all = depends_on(g, y, taps[k]);
    return all;
}

int graph_through(graph *g, int y, const int *taps, int n)
{
    int whole = -1;
    if (graph_is_dead(g, y)) return -1;
    if (depends_on_all(g, y, taps, n) == 1) return y;
    if (g->rc == 0 && g->whole >= 0)
        graph_replay(g, &(replay){ .from = &g->quick, .to = &g->whole, .n = 1 }, &y, 1, &whole);
    if (!graph_is_dead(g, whole) && depends_on_all(g, whole, taps, n) == 1) return whole;
    g_refuse(g, "no gradient: the scalar does not depend on that tap");
    return -1;
}
