#include "extract/plan.h"
#include "extract/plan_memory.h"
#include "extract/plan_parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static int planner_init(planner *b, const plan_request *r, size_t n_r)
{
    int rc = 0;
    TRY(mem_new(&b->uses, b->n, sizeof *b->uses, "plan"));
    TRY(mem_new(&b->consumer, b->n, sizeof *b->consumer, "plan"));
    TRY(mem_new(&b->need, b->n, 1, "plan"));
    TRY(mem_new(&b->kept, b->n, 1, "plan"));
    TRY(mem_new(&b->owner, b->n, sizeof *b->owner, "plan"));
    TRY(mem_new(&b->end, b->n, sizeof *b->end, "plan"));
    TRY(mem_new(&b->tensor, b->n, sizeof *b->tensor, "plan"));
    TRY(mem_new(&b->keys, b->n, sizeof *b->keys, "plan"));
    for (size_t i = 0; i < n_r; i++)
        b->need[r[i].node] = b->kept[r[i].node] = 1;
    for (size_t i = b->n; i-- > 0;) {
        const node *v = graph_node(b->g, (int)i);
        b->owner[i] = b->end[i] = (int)i;
        b->tensor[i] = -1;
        if (!b->need[i]) continue;
        for (int k = 0; k < v->n_in; k++) {
            b->need[v->in[k]] = 1;
            b->uses[v->in[k]]++;
            b->consumer[v->in[k]] = (int)i;
        }
    }
done:
    return rc;
}

static void planner_clear(planner *b)
{
    free(b->uses);
    free(b->consumer);
    free(b->need);
    free(b->kept);
    free(b->owner);
    free(b->end);
    free(b->tensor);
    free(b->merged);
    free(b->keys);
}

/* ---- fusion ------------------------------------------------------------------------------------ */

int plan_next(const planner *b, int last)
{
    if (b->kept[last] || b->uses[last] != 1) return -1;
    return b->owner[b->consumer[last]] == b->consumer[last] ? b->consumer[last] : -1;
}

void plan_absorb(planner *b, int start, int next)
{
    b->owner[next] = start;
    b->end[start] = next;
}

static activation activation_of(graph_op op)
{
    switch (op) {
    case OP_relu: return ACT_RELU;
    case OP_relu6: return ACT_RELU6;
    case OP_gelu: return ACT_GELU;
    case OP_silu: return ACT_SILU;
    case OP_sigmoid: return ACT_SIGMOID;
    default: return ACT_NONE;
    }
}

/* Curves go only behind products that nothing is added to. */
static int may_activate(int product, int summed, activation act)
{
    return act == ACT_RELU || act == ACT_RELU6 || (act != ACT_NONE && product && !summed);
}

int plan_may_sum(const planner *b, int last, int sum)
{
    const node *v = graph_node(b->g, sum);
    int other = v->in[0] == last ? v->in[1] : v->in[0];
    return other < last;
}

static void fuse_from(planner *b, int start)
{
    graph_op op = plan_branches(b, start) ? OP_conv : graph_node(b->g, start)->op;
    int next = plan_next(b, start), summed = 0, product = op == OP_conv || op == OP_linear;
    if (plan_is_back(b, start)) {
        plan_fuse_back(b, start);
        return;
    }
    if (!product && op != OP_batchnorm && op != OP_groupnorm && op != OP_add) return;
    if (graph_node(b->g, start)->op == OP_conv && next >= 0 &&
        graph_node(b->g, next)->op == OP_batchnorm) {
        plan_absorb(b, start, next);
        next = plan_next(b, next);
    }
    if (graph_node(b->g, start)->op == op && product && next >= 0 &&
        graph_node(b->g, next)->op == OP_scale) {
        plan_absorb(b, start, next);
        next = plan_next(b, next);
    }
    while (next >= 0) {
        graph_op follow = graph_node(b->g, next)->op;
        int activates = may_activate(product, summed, activation_of(follow));
        if (!activates && !(product && follow == OP_add && !summed &&
                        plan_may_sum(b, b->end[start], next)))
            break;
        summed = 1;
        plan_absorb(b, start, next);
        if (activates) break;
        next = plan_next(b, next);
    }
}

/* ---- steps ------------------------------------------------------------------------------------- */

/* The chain behind `start`: what was folded and fused. */
static void follow_chain(const planner *b, int start, plan_step *s, const node **bn,
                         const node **scale)
{
    for (int at = start; at != b->end[start]; at = b->consumer[at]) {
        const node *u = graph_node(b->g, b->consumer[at]);
        if (u->op == OP_batchnorm) *bn = u;
        if (u->op == OP_scale) *scale = u;
        if (u->op == OP_add) s->residual = b->tensor[u->in[0] == at ? u->in[1] : u->in[0]];
        if (activation_of(u->op) != ACT_NONE) s->act = activation_of(u->op);
    }
}

static void start_step(planner *b, plan_step *s, const node *v)
{
    *s = (plan_step){ .op = v->op, .name = v->name, .v = v, .x = b->p->edges + b->p->n_edges, .n_x = v->n_in,
                      .residual = -1, .gate = OP_COUNT, .gate_x = -1, .twin = -1, .kernel = v->kernel,
                      .stride = v->stride, .pad = v->pad, .groups = v->groups,
                      .act = activation_of(v->op) };
}

/* A product, alone or of parallel branches, or any other op of the forward. */
static int emit_forward(planner *b, plan_step *s, int start)
{
    int rc = 0;
    const node *v = graph_node(b->g, start), *bn = NULL, *scale = NULL;
    const branches *m = plan_branches(b, start);
    if (m != NULL) {
        s->op = OP_conv;
        s->n_x = 1;
        b->p->edges[b->p->n_edges] = b->tensor[m->source];
        s->kernel = m->kernel;
        s->stride = m->stride;
        s->pad = m->kernel / 2;
    }
    follow_chain(b, start, s, &bn, &scale);
    if (plan_find_twin(b, s, v, m, bn, scale)) return 0;
    if (m != NULL) TRY(plan_branch_weights(b, s, m));
    else if (v->op == OP_conv || v->op == OP_linear)
        TRY(plan_conv_weights(b, s, v, bn, scale));
    else TRY(plan_other_weights(b, s, v));
done:
    return rc;
}

/* Emits the step of the chain that starts at `start`. */
static int emit(planner *b, int start)
{
    int rc = 0;
    const node *v = graph_node(b->g, start);
    plan *p = b->p;
    plan_step *s = &p->steps[p->n_steps];
    start_step(b, s, v);
    for (int i = 0; i < v->n_in; i++)
        p->edges[p->n_edges + (size_t)i] = b->tensor[v->in[i]];
    if (plan_is_back(b, start)) TRY(plan_emit_back(b, s, start));
    else TRY(emit_forward(b, s, start));
    p->n_edges += (size_t)v->n_in;
    s->y = b->tensor[b->end[start]] = (int)p->n_tensors;
    p->tensors[p->n_tensors] = (plan_tensor){ .s = graph_node(b->g, b->end[start])->out,
                                              .node = b->end[start], .root = s->y };
    p->n_tensors++;
    p->n_steps++; /* counted last, so that plan_free sees whole steps only */
done:
    if (rc < 0) {
        free(s->w);
        free(s->b);
    }
    return rc;
}

static void set_dims(plan_output *o, shape s)
{
    size_t c = (size_t)s.c, h = (size_t)s.h, w = (size_t)s.w;
    o->count = o->reduce == REDUCE_NONE ? c * h * w : c;
    o->rank = o->count == c ? 1 : o->layout == TAP_TOKENS ? 2 : 3;
    if (o->rank == 1) memcpy(o->dim, (size_t[]){ c, 1, 1 }, sizeof o->dim);
    else if (o->layout == TAP_TOKENS) memcpy(o->dim, (size_t[]){ h * w, c, 1 }, sizeof o->dim);
    else if (o->layout == TAP_HWC) memcpy(o->dim, (size_t[]){ h, w, c }, sizeof o->dim);
    else memcpy(o->dim, (size_t[]){ c, h, w }, sizeof o->dim);
}

static void add_output(planner *b, const plan_request *r)
{
    plan_output *o = &b->p->outputs[b->p->n_outputs++];
    const node *v = graph_node(b->g, r->node);
    *o = (plan_output){ .name = r->name, .tensor = b->tensor[r->node], .node = r->node,
                        .reduce = r->reduce, .layout = v->layout };
    set_dims(o, v->out);
}

int plan_build(plan **out, const graph *g, const weights *w, const plan_request *requests,
               size_t n_requests, int kind)
{
    int rc = 0;
    size_t edges = 0;
    planner b = { .g = g, .w = w, .n = graph_nodes(g), .kind = kind };
    TRY(mem_new(&b.p, 1, sizeof *b.p, "plan"));
    TRY(mem_new(&b.p->steps, b.n, sizeof *b.p->steps, "plan"));
    TRY(mem_new(&b.p->tensors, b.n, sizeof *b.p->tensors, "plan"));
    TRY(mem_new(&b.p->outputs, n_requests, sizeof *b.p->outputs, "plan"));
    b.p->g = g;
    b.p->w = w;
    for (size_t i = 0; i < b.n; i++)
        edges += (size_t)graph_node(g, (int)i)->n_in;
    TRY(mem_new(&b.p->edges, edges, sizeof *b.p->edges, "plan"));
    TRY(planner_init(&b, requests, n_requests));
    TRY(plan_find_branches(&b));
    for (size_t i = 0; i < b.n; i++)
        if (b.need[i] && b.owner[i] == (int)i) fuse_from(&b, (int)i);
    for (size_t i = 0; i < b.n; i++) /* a chain runs when its last node is due */
        if (b.need[i] && b.end[b.owner[i]] == (int)i) TRY(emit(&b, b.owner[i]));
    for (size_t i = 0; i < n_requests; i++)
        add_output(&b, &requests[i]);
    TRY(plan_memory(b.p, (kind & PLAN_DENSE) != 0));
    *out = b.p;
    b.p = NULL;
done:
    planner_clear(&b);
    plan_free(&b.p);
    return rc;
}

void plan_drop_weights(plan *p)
{
    for (size_t i = 0; i < p->n_steps; i++) {
        free(p->steps[i].w);
        free(p->steps[i].b);
        p->steps[i].w = p->steps[i].b = NULL;
    }
}

void plan_free(plan **p)
{
    if (*p == NULL) return;
    if ((*p)->steps != NULL) plan_drop_weights(*p);
    free((*p)->steps);
    free((*p)->tensors);
    free((*p)->outputs);
    free((*p)->edges);
    free(*p);
    *p = NULL;
}
