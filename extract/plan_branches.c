/* RepVGG's re-parameterisation (Ding et al. 2021, arXiv:2101.03697, section 3.3; models.md 13.3) found in
 * the graph: a sum of convolutions, each with or without batch norm, and of batch norms, all of the
 * same map, is one convolution.  Nothing inside may be used or asked for elsewhere. */
#include "extract/plan_parts.h"
#include "common/mem.h"
#include "common/err.h"

static int is_inner(const planner *b, int i)
{
    return b->uses[i] == 1 && !b->kept[i];
}

static int is_branch_conv(const node *v)
{
    return (v->op == OP_conv || v->op == OP_conv_back) && v->groups == 1 && !v->standardise &&
           v->kernel % 2 == 1 && v->pad == v->kernel / 2;
}

/* A summand: the node of the pair that reads the common map, and the pair.  Forward a convolution comes first, in a
 * gradient the batch norm does.  0 when it is of another kind. */
static int find_leaf(const planner *b, int i, branch *leaf, int *reads)
{
    const node *v = graph_node(b->g, i);
    int before;
    *leaf = (branch){ -1, -1 };
    *reads = i;
    if (v->op == OP_batchnorm || v->op == OP_batchnorm_back) leaf->bn = i;
    else if (is_branch_conv(v)) leaf->conv = i;
    else return 0;
    before = v->in[0];
    if (!is_inner(b, before)) return 1;
    if (v->op == OP_batchnorm && graph_node(b->g, before)->op == OP_conv &&
        is_branch_conv(graph_node(b->g, before)))
        leaf->conv = *reads = before;
    else if (v->op == OP_conv_back && graph_node(b->g, before)->op == OP_batchnorm_back)
        leaf->bn = *reads = before;
    return 1;
}

/* One summand; 0 when it does not go with the others. */
static int add_branch(const planner *b, branches *m, int i)
{
    branch leaf;
    int reads, source, stride = 1, back;
    if (m->n == BRANCHES_MAX || !find_leaf(b, i, &leaf, &reads)) return 0;
    source = graph_node(b->g, reads)->in[0];
    back = graph_node(b->g, i)->op == OP_batchnorm_back || graph_node(b->g, i)->op == OP_conv_back;
    if (leaf.conv >= 0) {
        const node *c = graph_node(b->g, leaf.conv);
        stride = c->stride;
        if (c->kernel > m->kernel) m->kernel = c->kernel;
    }
    if (m->n > 0 && (source != m->source || stride != m->stride || back != m->back)) return 0;
    m->source = source;
    m->stride = stride;
    m->back = back;
    m->of[m->n++] = leaf;
    return 1;
}

static int collect(const planner *b, branches *m, int i)
{
    const node *v = graph_node(b->g, i);
    if (i != m->sum && !is_inner(b, i)) return 0;
    if (v->op != OP_add) return add_branch(b, m, i);
    return collect(b, m, v->in[0]) && collect(b, m, v->in[1]);
}

static void take_nodes(planner *b, const branches *m, int i)
{
    const node *v = graph_node(b->g, i);
    b->owner[i] = m->sum;
    if (v->op == OP_add) {
        take_nodes(b, m, v->in[0]);
        take_nodes(b, m, v->in[1]);
    } else if (v->in[0] != m->source) {
        b->owner[v->in[0]] = m->sum;
    }
}

int plan_find_branches(planner *b)
{
    int rc = 0;
    for (size_t i = b->n; i-- > 0;) { /* outermost sums first */
        branches m = { .sum = (int)i };
        if (!b->need[i] || b->owner[i] != (int)i || graph_node(b->g, (int)i)->op != OP_add)
            continue;
        if (!collect(b, &m, (int)i) || m.kernel == 0) continue;
        TRY(mem_grow(&b->merged, &b->merged_room, b->n_merged + 1, sizeof *b->merged, "plan"));
        b->merged[b->n_merged++] = m;
        take_nodes(b, &m, (int)i);
    }
done:
    return rc;
}

const branches *plan_branches(const planner *b, int i)
{
    for (size_t k = 0; k < b->n_merged; k++)
        if (b->merged[k].sum == i) return &b->merged[k];
    return NULL;
}
