/* What depends on what in a graph. */
#ifndef OUTPOST_REACH_H
#define OUTPOST_REACH_H

#include "extract/graph.h"

/* out[i] for i <= y: 1 where node y depends on node i (and for y itself), else 0; the caller's to free. */
int graph_ancestors(const graph *g, int y, unsigned char **out);

/* The norm over all tokens whose token 0 is the penultimate vector; -1: not such a network. */
int graph_token_norm(const graph *g);

#endif
