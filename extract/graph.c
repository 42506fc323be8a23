#include "extract/graph_parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text_block { /* names live as long as the graph */
    text_block *next;
    char text[];
};

static const struct {
    const char *name;
    int fewest, most;
} op_table[OP_COUNT] = {
#define OP(name, fewest, most) { #name, fewest, most },
#include "extract/ops.def"
#undef OP
};

int graph_new(graph **out)
{
    int rc = mem_new(out, 1, sizeof **out, "graph");
    if (rc == 0) (*out)->features = (*out)->logits = (*out)->quick = (*out)->whole = -1;
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
    for (size_t i = 0; i < (*g)->n_params; i++)
        free((float *)(*g)->params[i].given);
    free((*g)->nodes);
    free((*g)->params);
    free(*g);
    *g = NULL;
}

/* ---- helpers of the builders ----------------------------------------------------------------- */

int graph_fail(graph *g, const char *what, const char *name)
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

void g_refuse(graph *g, const char *format, ...)
{
    char text[256];
    va_list ap;
    if (g->rc < 0) return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    g->rc = err_set(ERR_USAGE, "%s", text);
}

static int find_param(const graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_params; i++)
        if (strcmp(g->params[i].name, name) == 0) return (int)i;
    return -1;
}

static int has_shape(const param *p, int rank, const int *dim)
{
    for (int i = 0; i < rank && p->rank == rank; i++)
        if (p->dim[i] != (size_t)dim[i]) return 0;
    return p->rank == rank;
}

int graph_add_param(graph *g, const char *name, int rank, const int *dim)
{
    param *p;
    int known = find_param(g, name);
    if (g->rc < 0) return -1;
    if (known >= 0)
        return has_shape(&g->params[known], rank, dim)
                   ? known
                   : graph_fail(g, "one name for two shapes", name);
    g->rc = mem_grow(&g->params, &g->params_room, g->n_params + 1, sizeof *g->params, "graph");
    if (g->rc < 0) return -1;
    p = &g->params[g->n_params];
    *p = (param){ .name = name, .rank = rank, .count = 1, .grid_prefix = -1, .base = -1 };
    for (int i = 0; i < rank; i++) {
        p->dim[i] = (size_t)dim[i];
        p->count *= (size_t)dim[i];
    }
    return (int)g->n_params++;
}

int graph_add_vector(graph *g, const char *layer, const char *part, int n)
{
    return graph_add_param(g, g_name(g, "%s.%s", layer, part), 1, &n);
}

int graph_add_node(graph *g, graph_op op, const int *in, int n_in, const char *name, shape out)
{
    node *v;
    int *copy = NULL;
    if (g->rc < 0) return -1;
    if (n_in < op_table[op].fewest || n_in > op_table[op].most)
        return graph_fail(g, "wrong number of inputs", name);
    if (out.c < 1 || out.h < 1 || out.w < 1) return graph_fail(g, "empty output", name);
    g->rc = mem_grow(&g->nodes, &g->room, g->n + 1, sizeof *g->nodes, "graph");
    if (g->rc == 0 && n_in > 0) g->rc = mem_new(&copy, (size_t)n_in, sizeof *copy, "graph");
    if (g->rc < 0) return -1;
    if (n_in > 0) memcpy(copy, in, (size_t)n_in * sizeof *copy);
    v = &g->nodes[g->n];
    *v = (node){ .op = op, .name = name, .in = copy, .n_in = n_in, .out = out, .groups = 1,
                 .weight = -1, .bias = -1, .mean = -1, .var = -1 };
    return (int)g->n++;
}

/* ---- marks ---------------------------------------------------------------------------------- */

int g_tap_as(graph *g, int x, const char *name, tap_layout layout)
{
    if (graph_is_dead(g, x)) return x;
    g->nodes[x].tap = name;
    g->nodes[x].layout = layout;
    return x;
}

int g_tap(graph *g, int x, const char *name)
{
    return g_tap_as(g, x, name, TAP_CHW);
}

void g_features(graph *g, int x)
{
    if (!graph_is_dead(g, x)) g->features = x;
}

void g_logits(graph *g, int x)
{
    if (!graph_is_dead(g, x)) g->logits = x;
}

void g_bypass(graph *g, int quick, int whole)
{
    if (graph_is_dead(g, quick) || graph_is_dead(g, whole)) return;
    g->quick = quick;
    g->whole = whole;
}

void g_head(graph *g, const char *name)
{
    g->head = name;
}

int g_channels(const graph *g, int x)
{
    return g_shape(g, x).c;
}

shape g_shape(const graph *g, int x)
{
    return graph_is_dead(g, x) ? (shape){ 1, 1, 1 } : g->nodes[x].out;
}

/* ---- reading ------------------------------------------------------------------------------- */

const char *graph_op_name(graph_op op) { return op_table[op].name; }

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

/* A copy of all channels is another node's second name: what is computed from that value is computed from the
 * other node. */
static int named(const graph *g, int i)
{
    const node *v = &g->nodes[i];
    const node *x = v->n_in > 0 ? &g->nodes[v->in[0]] : v;
    return v->op == OP_slice && v->out.c == x->out.c && v->layout == x->layout ? v->in[0] : i;
}

int graph_find_tap(const graph *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->nodes[i].tap != NULL && strcmp(g->nodes[i].tap, name) == 0) return named(g, (int)i);
    return -1;
}

/* Of attention: q k and p v, every token of a window with each other. */
static double product_macs(const graph *g, const node *v)
{
    double tokens = (double)v->out.h * v->out.w, d = v->out.c;
    if (v->op == OP_performer) { /* phi of k and of q, k v summed, q times that, q times sum of k */
        double m = (double)g->params[v->weight].dim[0];
        return tokens * m * (4 * d + 1);
    }
    return 2 * tokens * d * (v->window > 0 ? v->window * v->window : tokens);
}

/* Is there an earlier node with the same weights? */
static int is_again(const graph *g, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (g->nodes[k].weight == g->nodes[i].weight) return 1;
    return 0;
}

double graph_macs(const graph *g)
{
    double sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        const node *v = &g->nodes[i];
        if ((v->op == OP_conv || v->op == OP_linear) && !is_again(g, i))
            sum += (double)g->params[v->weight].count * v->out.h * v->out.w;
        if (v->op == OP_attention || v->op == OP_performer) sum += product_macs(g, v);
    }
    return sum;
}

static int is_statistic(const graph *g, int parameter)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->nodes[i].mean == parameter || g->nodes[i].var == parameter) return 1;
    return 0;
}

size_t graph_parameter_count(const graph *g)
{
    size_t sum = 0;
    for (size_t i = 0; i < g->n_params; i++)
        if (!is_statistic(g, (int)i) && g->params[i].given == NULL && g->params[i].base < 0)
            sum += g->params[i].count;
    return sum;
}
