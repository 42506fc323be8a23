#include "extract/graph.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text_block { /* names live as long as the graph */
    struct text_block *next;
    char text[];
} text_block;

struct graph {
    node *nodes;
    size_t n, room;
    param *params;
    size_t n_params, params_room;
    text_block *texts;
    int features, logits;
    const char *head;
    int rc; /* first error */
};

static const struct {
    const char *name;
    int fewest, most;
} op_table[OP_COUNT] = {
#define OP(name, fewest, most) { #name, fewest, most },
#include "extract/ops.def"
#undef OP
};

const char *graph_op_name(graph_op op)
{
    return op_table[op].name;
}

int graph_new(graph **out)
{
    int rc = mem_new(out, 1, sizeof **out, "graph");
    if (rc == 0) (*out)->features = (*out)->logits = -1;
    return rc;
}

void graph_free(graph **g)
{
    if (*g == NULL) return;
    for (size_t i = 0; i < (*g)->n; i++)
        free((*g)->nodes[i].in);
    for (text_block *t = (*g)->texts, *next; t != NULL; t = next) {
        next = t->next;
        free(t);
    }
    free((*g)->nodes);
    free((*g)->params);
    free(*g);
    *g = NULL;
}

/* ---- helpers of the builders ----------------------------------------------------------------- */

static int fail(graph *g, const char *what, const char *name)
{
    if (g->rc == 0) g->rc = err_set(ERR_INTERNAL, "model: %s at '%s'", what, name);
    return -1;
}

const char *g_name(graph *g, const char *format, ...)
{
    va_list ap;
    char text[256];
    text_block *t;
    size_t n;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    n = strlen(text) + 1;
    t = malloc(sizeof *t + n);
    if (t == NULL) {
        if (g->rc == 0) g->rc = err_set(ERR_ENV, "no memory for a layer name");
        return "";
    }
    memcpy(t->text, text, n);
    t->next = g->texts;
    g->texts = t;
    return t->text;
}

static int add_param(graph *g, const char *name, int rank, const int *dim)
{
    param *p;
    if (g->rc < 0) return -1;
    g->rc = mem_grow(&g->params, &g->params_room, g->n_params + 1, sizeof *g->params, "graph");
    if (g->rc < 0) return -1;
    p = &g->params[g->n_params];
    *p = (param){ .name = name, .rank = rank, .count = 1, .grid_prefix = -1 };
    for (int i = 0; i < rank; i++) {
        p->dim[i] = (size_t)dim[i];
        p->count *= (size_t)dim[i];
    }
    return (int)g->n_params++;
}

static int add_vector(graph *g, const char *layer, const char *part, int n)
{
    return add_param(g, g_name(g, "%s.%s", layer, part), 1, &n);
}

/* Appends a node; its inputs are checked here, its shape by the caller. */
static int add_node(graph *g, graph_op op, const int *in, int n_in, const char *name, shape out)
{
    node *v;
    int *copy = NULL;
    if (g->rc < 0) return -1;
    if (n_in < op_table[op].fewest || n_in > op_table[op].most)
        return fail(g, "wrong number of inputs", name);
    if (out.c < 1 || out.h < 1 || out.w < 1) return fail(g, "empty output", name);
    g->rc = mem_grow(&g->nodes, &g->room, g->n + 1, sizeof *g->nodes, "graph");
    if (g->rc == 0 && n_in > 0) g->rc = mem_new(&copy, (size_t)n_in, sizeof *copy, "graph");
    if (g->rc < 0) return -1;
    if (n_in > 0) memcpy(copy, in, (size_t)n_in * sizeof *copy);
    v = &g->nodes[g->n];
    *v = (node){ .op = op, .name = name, .in = copy, .n_in = n_in, .out = out, .groups = 1,
                 .weight = -1, .bias = -1, .mean = -1, .var = -1 };
    return (int)g->n++;
}

static int dead(const graph *g, int x)
{
    return g->rc < 0 || x < 0;
}

static shape shape_of(const graph *g, int x)
{
    return g->nodes[x].out;
}

/* ---- builders ------------------------------------------------------------------------------- */

int g_input(graph *g, int c, int h, int w)
{
    return add_node(g, OP_input, NULL, 0, "input", (shape){ c, h, w });
}

static int add_conv(graph *g, int x, int cout, int kernel, int stride, int pad, int groups,
                    int with_bias, const char *name)
{
    shape s;
    int y;
    if (dead(g, x)) return -1;
    s = shape_of(g, x);
    if (s.c % groups != 0 || cout % groups != 0) return fail(g, "groups do not divide", name);
    if (s.h + 2 * pad < kernel || s.w + 2 * pad < kernel) return fail(g, "window too large", name);
    y = add_node(g, OP_conv, &x, 1, name,
                 (shape){ cout, (s.h + 2 * pad - kernel) / stride + 1,
                          (s.w + 2 * pad - kernel) / stride + 1 });
    if (y < 0) return y;
    g->nodes[y].kernel = kernel;
    g->nodes[y].stride = stride;
    g->nodes[y].pad = pad;
    g->nodes[y].groups = groups;
    g->nodes[y].weight = add_param(g, g_name(g, "%s.weight", name), 4,
                                   (const int[]){ cout, s.c / groups, kernel, kernel });
    if (with_bias) g->nodes[y].bias = add_vector(g, name, "bias", cout);
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

int g_batchnorm(graph *g, int x, const char *name)
{
    int y, c;
    if (dead(g, x)) return -1;
    y = add_node(g, OP_batchnorm, &x, 1, name, shape_of(g, x));
    if (y < 0) return y;
    c = g->nodes[y].out.c;
    g->nodes[y].eps = 1e-5f;
    g->nodes[y].weight = add_vector(g, name, "weight", c);
    g->nodes[y].bias = add_vector(g, name, "bias", c);
    g->nodes[y].mean = add_vector(g, name, "running_mean", c);
    g->nodes[y].var = add_vector(g, name, "running_var", c);
    return y;
}

int g_relu(graph *g, int x)
{
    return dead(g, x) ? -1 : add_node(g, OP_relu, &x, 1, "", shape_of(g, x));
}

int g_relu6(graph *g, int x)
{
    return dead(g, x) ? -1 : add_node(g, OP_relu6, &x, 1, "", shape_of(g, x));
}

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
    if (dead(g, x)) return -1;
    s = shape_of(g, x);
    if (s.h + 2 * pad < kernel || s.w + 2 * pad < kernel) return fail(g, "window too large", "pool");
    y = add_node(g, op, &x, 1, "",
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

int g_avgpool(graph *g, int x, int kernel, int stride)
{
    return add_pool(g, OP_avgpool, x, kernel, stride, 0, 0);
}

int g_gap(graph *g, int x)
{
    return dead(g, x) ? -1 : add_node(g, OP_gap, &x, 1, "", (shape){ shape_of(g, x).c, 1, 1 });
}

int g_linear(graph *g, int x, int out, const char *name)
{
    shape s;
    int y;
    if (dead(g, x)) return -1;
    s = shape_of(g, x);
    if (s.h != 1 || s.w != 1) return fail(g, "linear layer on a map", name);
    y = add_node(g, OP_linear, &x, 1, name, (shape){ out, 1, 1 });
    if (y < 0) return y;
    g->nodes[y].weight =
        add_param(g, g_name(g, "%s.weight", name), 2, (const int[]){ out, s.c });
    g->nodes[y].bias = add_vector(g, name, "bias", out);
    return y;
}

int g_add(graph *g, int a, int b)
{
    shape s, t;
    if (dead(g, a) || dead(g, b)) return -1;
    s = shape_of(g, a);
    t = shape_of(g, b);
    if (s.c != t.c || s.h != t.h || s.w != t.w) return fail(g, "sum of unequal shapes", "add");
    return add_node(g, OP_add, (const int[]){ a, b }, 2, "", s);
}

int g_concat(graph *g, const int *x, int n)
{
    shape s = { 0, 0, 0 };
    for (int i = 0; i < n; i++) {
        shape t;
        if (dead(g, x[i])) return -1;
        t = shape_of(g, x[i]);
        if (i > 0 && (t.h != s.h || t.w != s.w)) return fail(g, "unequal maps", "concat");
        s = (shape){ s.c + t.c, t.h, t.w };
    }
    return add_node(g, OP_concat, x, n, "", s);
}

int g_shortcut_a(graph *g, int x, int cout)
{
    shape s;
    if (dead(g, x)) return -1;
    s = shape_of(g, x);
    if (cout < s.c || (cout - s.c) % 2 != 0) return fail(g, "channels do not fit", "shortcut");
    return add_node(g, OP_shortcut_a, &x, 1, "", (shape){ cout, (s.h + 1) / 2, (s.w + 1) / 2 });
}

int g_tap(graph *g, int x, const char *name)
{
    if (!dead(g, x)) g->nodes[x].tap = name;
    return x;
}

void g_features(graph *g, int x)
{
    if (!dead(g, x)) g->features = x;
}

void g_logits(graph *g, int x)
{
    if (!dead(g, x)) g->logits = x;
}

void g_head(graph *g, const char *name)
{
    g->head = name;
}

int g_channels(const graph *g, int x)
{
    return dead(g, x) ? 1 : g->nodes[x].out.c;
}

/* ---- reading ------------------------------------------------------------------------------- */

int graph_check(const graph *g)
{
    if (g->rc < 0) return g->rc;
    if (g->logits < 0) return err_set(ERR_INTERNAL, "model: no logits");
    return 0;
}

size_t graph_nodes(const graph *g) { return g->n; }
const node *graph_node(const graph *g, int i) { return &g->nodes[i]; }
size_t graph_params(const graph *g) { return g->n_params; }
const param *graph_param(const graph *g, int i) { return &g->params[i]; }
int graph_features(const graph *g) { return g->features; }
int graph_logits(const graph *g) { return g->logits; }
const char *graph_head(const graph *g) { return g->head; }

int graph_find_tap(const graph *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->nodes[i].tap != NULL && strcmp(g->nodes[i].tap, name) == 0) return (int)i;
    return -1;
}

double graph_macs(const graph *g)
{
    double sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        const node *v = &g->nodes[i];
        if (v->op != OP_conv && v->op != OP_linear) continue;
        sum += (double)g->params[v->weight].count * v->out.h * v->out.w;
    }
    return sum;
}

size_t graph_parameter_count(const graph *g)
{
    size_t sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        const node *v = &g->nodes[i];
        if (v->weight >= 0) sum += g->params[v->weight].count;
        if (v->bias >= 0) sum += g->params[v->bias].count;
    }
    return sum;
}
