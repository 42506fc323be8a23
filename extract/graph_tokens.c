/* Builders of transformers. */
#include "extract/graph_parts.h"

#include <math.h>

int g_embed(graph *g, int x, const char *cls, const char *pos)
{
    shape s;
    int y, t;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    t = 1 + s.h * s.w;
    y = graph_add_node(g, OP_embed, &x, 1, pos, (shape){ s.c, t, 1 });
    if (y < 0) return y;
    g->nodes[y].bias = graph_add_param(g, cls, 3, (const int[]){ 1, 1, s.c });
    g->nodes[y].weight = graph_add_param(g, pos, 3, (const int[]){ 1, t, s.c });
    if (g->nodes[y].weight >= 0) g->params[g->nodes[y].weight].grid_prefix = 1;
    return y;
}

int g_token(graph *g, int x, int index)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (index < 0 || index >= s.h * s.w) return graph_fail(g, "no such token", "token");
    y = graph_add_node(g, OP_token, &x, 1, "", (shape){ s.c, 1, 1 });
    if (y >= 0) g->nodes[y].offset = index;
    return y;
}

static int add_attention(graph *g, int x, int heads, float scale, const char *name)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (heads < 1 || s.c % (3 * heads) != 0) return graph_fail(g, "heads do not divide", name);
    y = graph_add_node(g, OP_attention, &x, 1, name, (shape){ s.c / 3, s.h, s.w });
    if (y < 0) return y;
    g->nodes[y].heads = heads;
    g->nodes[y].scale = scale;
    return y;
}

int g_attention(graph *g, int x, int heads, float scale)
{
    return add_attention(g, x, heads, scale, "attention");
}

int g_window_attention(graph *g, int x, int heads, int window, int shift, const char *table)
{
    int width = g_channels(g, x) / 3 / (heads > 0 ? heads : 1), spread = 2 * window - 1, y;
    shape s = g_shape(g, x);
    if (window < 1 || s.h % window != 0 || s.w % window != 0)
        return graph_fail(g, "windows do not divide the map", table);
    if (shift < 0 || shift >= window) return graph_fail(g, "shift outside the window", table);
    y = add_attention(g, x, heads, (float)(1 / sqrt((double)width)), table);
    if (y < 0) return y;
    g->nodes[y].window = window;
    g->nodes[y].shift = shift;
    g->nodes[y].weight = graph_add_param(g, table, 2, (const int[]){ spread * spread, heads });
    return y;
}

int g_performer(graph *g, int x, int features, const char *w)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (s.c % 3 != 0) return graph_fail(g, "not k, q, v", w);
    y = graph_add_node(g, OP_performer, &x, 1, w, (shape){ s.c / 3, s.h, s.w });
    if (y < 0) return y;
    g->nodes[y].weight = graph_add_param(g, w, 2, (const int[]){ features, s.c / 3 });
    return y;
}

int g_unfold(graph *g, int x, int kernel, int stride, int pad)
{
    shape s;
    int y;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    if (s.h + 2 * pad < kernel || s.w + 2 * pad < kernel)
        return graph_fail(g, "window too large", "unfold");
    y = graph_add_node(g, OP_unfold, &x, 1, "",
                       (shape){ s.c * kernel * kernel, (s.h + 2 * pad - kernel) / stride + 1,
                                (s.w + 2 * pad - kernel) / stride + 1 });
    if (y < 0) return y;
    g->nodes[y].kernel = kernel;
    g->nodes[y].stride = stride;
    g->nodes[y].pad = pad;
    return y;
}

int g_merge(graph *g, int x)
{
    shape s;
    if (graph_is_dead(g, x)) return -1;
    s = graph_shape(g, x);
    return graph_add_node(g, OP_merge, &x, 1, "",
                          (shape){ 4 * s.c, (s.h + 1) / 2, (s.w + 1) / 2 });
}
