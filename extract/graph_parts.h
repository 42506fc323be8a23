/* What the builders' files share; nobody else includes it. */
#ifndef OUTPOST_GRAPH_PARTS_H
#define OUTPOST_GRAPH_PARTS_H

#include "extract/graph.h"

typedef struct text_block text_block;

struct graph {
    node *nodes;
    size_t n, room;
    param *params;
    size_t n_params, params_room;
    text_block *texts;
    int features, logits;
    int quick, whole;     /* g_bypass, -1: none */
    const char *head;
    int rc; /* first error */
};

/* Keeps the first error; -1. */
int graph_fail(graph *g, const char *what, const char *name);
/* Appends a parameter, or finds the one of this name, which must have this shape; -1 after an error. */
int graph_add_param(graph *g, const char *name, int rank, const int *dim);
/* layer.part [n] */
int graph_add_vector(graph *g, const char *layer, const char *part, int n);
/* Appends a node; its inputs are checked here, its shape by the caller. */
int graph_add_node(graph *g, graph_op op, const int *in, int n_in, const char *name, shape out);

static inline int graph_is_dead(const graph *g, int x)
{
    return g->rc < 0 || x < 0;
}

static inline shape graph_shape(const graph *g, int x)
{
    return g->nodes[x].out;
}

#endif
