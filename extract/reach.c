#include "extract/reach.h"
#include "common/mem.h"

int graph_ancestors(const graph *g, int y, unsigned char **out)
{
    int rc = mem_new(out, (size_t)y + 1, 1, "graph");
    if (rc < 0) return rc;
    (*out)[y] = 1;
    for (int i = y; i >= 0; i--)
        for (int k = 0; (*out)[i] && k < graph_node(g, i)->n_in; k++)
            (*out)[graph_node(g, i)->in[k]] = 1;
    return 0;
}

int graph_token_norm(const graph *g)
{
    int f = graph_features(g);
    const node *one = f >= 0 ? graph_node(g, f) : NULL;
    if (one == NULL || one->op != OP_layernorm) return -1;
    for (int i = 0; i < f; i++) {
        const node *v = graph_node(g, i);
        if (v->op == OP_layernorm && v->weight == one->weight && v->out.h * v->out.w > 1) return i;
    }
    return -1;
}
