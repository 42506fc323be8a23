#include "extract/reach.h"
#include "extract/adjoint.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>

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

static int all_among(const graph *g, int y, const int *taps, int n, int *yes)
{
    int rc = 0;
    unsigned char *seen = NULL;
    *yes = 1;
    TRY(graph_ancestors(g, y, &seen));
    for (int k = 0; k < n; k++)
        *yes &= taps[k] <= y && seen[taps[k]];
done:
    free(seen);
    return rc;
}

int graph_logits_from(graph *g, const int *taps, int n, int *logits)
{
    int rc = 0, yes, features = graph_features(g), norm = graph_token_norm(g);
    *logits = graph_logits(g);
    TRY(graph_check(g));
    TRY(all_among(g, *logits, taps, n, &yes));
    if (!yes && norm >= 0) {
        int token = g_token(g, norm, 0), z = *logits;
        const replay r = { .from = &features, .to = &token, .n = 1 };
        graph_replay(g, &r, &z, 1, logits);
        TRY(graph_check(g));
        TRY(all_among(g, *logits, taps, n, &yes));
    }
    CHECK(yes, ERR_USAGE, "the logits do not depend on every tap that is asked for");
done:
    return rc;
}
