/* What depends on what in a graph, and the logits as they follow from every token. */
#ifndef OUTPOST_REACH_H
#define OUTPOST_REACH_H

#include "extract/graph.h"

/* out[i] for i <= y: 1 where node y depends on node i (and for y itself), else 0; the caller's to free. */
int graph_ancestors(const graph *g, int y, unsigned char **out);

/* The logits, as a node that depends on all of the n taps.  The usual node does, but for the last layer of
 * a transformer: there it sees the class token alone, which is built beside all tokens (models/encoder.c).
 * For these taps the head is appended once more, behind token 0 of the norm over all tokens: the same
 * value up to rounding.  ERR_USAGE where the logits do not depend on a tap in either way. */
int graph_logits_from(graph *g, const int *taps, int n, int *logits);

/* The norm over all tokens whose token 0 is the penultimate vector; -1: not such a network. */
int graph_token_norm(const graph *g);

#endif
