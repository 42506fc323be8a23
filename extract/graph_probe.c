/* Builders of what probes add to a network. */
#include "extract/graph_parts.h"
#include "common/mem.h"

#include <string.h>

static int is_vector(shape s)
{
    return s.h == 1 && s.w == 1;
}

static int same_shape(shape a, shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

int g_sum(graph *g, int x)
{
    return graph_is_dead(g, x) ? -1 : graph_add_node(g, OP_sum, &x, 1, "", (shape){ graph_shape(g, x).c, 1, 1 });
}

int g_cotangent(graph *g, int z, cotangent_kind kind, float temperature, int which)
{
    int y;
    if (graph_is_dead(g, z)) return -1;
    if (!is_vector(graph_shape(g, z))) return graph_fail(g, "not a vector", "cotangent");
    if (kind == COTANGENT_LOGIT && (which < 0 || which >= graph_shape(g, z).c))
        return graph_fail(g, "no such logit", "cotangent");
    y = graph_add_node(g, OP_cotangent, &z, 1, "", graph_shape(g, z));
    if (y < 0) return y;
    g->nodes[y].kind = (int)kind;
    g->nodes[y].scale = temperature;
    g->nodes[y].offset = which;
    return y;
}

int g_gaussian(graph *g, int x, int means, int precision)
{
    int y;
    if (graph_is_dead(g, x) || means < 0 || precision < 0) return -1;
    if (!is_vector(graph_shape(g, x))) return graph_fail(g, "not a vector", "gaussian");
    y = graph_add_node(g, OP_gaussian, &x, 1, g->params[means].name, graph_shape(g, x));
    if (y < 0) return y;
    g->nodes[y].weight = means;
    g->nodes[y].bias = precision;
    return y;
}

int g_perturb(graph *g, int x, int gradient, perturb_kind kind, float amount, double share,
              const float *divisor)
{
    int y;
    if (graph_is_dead(g, x) || graph_is_dead(g, gradient)) return -1;
    if (!same_shape(graph_shape(g, x), graph_shape(g, gradient)) || graph_shape(g, x).c != 3)
        return graph_fail(g, "not an image and its gradient", "perturb");
    y = graph_add_node(g, OP_perturb, (const int[]){ x, gradient }, 2, "", graph_shape(g, x));
    if (y < 0) return y;
    g->nodes[y].kind = (int)kind;
    g->nodes[y].amount = amount;
    g->nodes[y].share = share;
    for (int c = 0; c < 3; c++)
        g->nodes[y].divisor[c] = divisor != NULL ? divisor[c] : 1.0f;
    return y;
}

int g_deflate(graph *g, int x, deflate_kind kind, int iterations, int start)
{
    int y;
    if (graph_is_dead(g, x)) return -1;
    y = graph_add_node(g, OP_deflate, &x, 1, "", graph_shape(g, x));
    if (y < 0) return y;
    g->nodes[y].kind = (int)kind;
    g->nodes[y].iterations = iterations;
    g->nodes[y].weight = start;
    return y;
}

int g_gram(graph *g, int x, int powers)
{
    int y;
    if (graph_is_dead(g, x)) return -1;
    y = graph_add_node(g, OP_gram, &x, 1, "", (shape){ powers * graph_shape(g, x).c, 1, 1 });
    if (y >= 0) g->nodes[y].iterations = powers;
    return y;
}

int g_constant(graph *g, const char *name, int rank, const int *dim, const float *values)
{
    float *copy = NULL;
    size_t before = g->n_params;
    int p = graph_add_param(g, name, rank, dim);
    if (p < 0) return p;
    if (g->n_params == before) return graph_fail(g, "one name for two parameters", name);
    g->rc = mem_new(&copy, g->params[p].count, sizeof *copy, "constant");
    if (g->rc < 0) return -1;
    memcpy(copy, values, g->params[p].count * sizeof *copy);
    g->params[p].given = copy;
    return p;
}

int g_deflated(graph *g, int p, int removals)
{
    int dim[4], made;
    const char *name;
    if (g->rc < 0 || p < 0) return -1;
    for (int i = 0; i < g->params[p].rank; i++)
        dim[i] = (int)g->params[p].dim[i];
    name = g_name(g, "%s/rank-%d", g->params[p].name, removals);
    made = graph_add_param(g, name, g->params[p].rank, dim);
    if (made < 0) return made;
    g->params[made].base = p;
    g->params[made].removals = removals;
    return made;
}
