#include "extract/plan.h"
#include "extract/plan_memory.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct planner {
    const graph *g;
    const weights *w;
    plan *p;
    size_t n;            /* nodes */
    int *uses;           /* [n] consumers that are needed */
    int *consumer;       /* [n] the only consumer where uses == 1 */
    unsigned char *need; /* [n] */
    unsigned char *kept; /* [n] value is asked for */
    int *owner;          /* [n] node that starts the chain which absorbed this one, else itself */
    int *end;            /* [n] last node of the chain that starts here */
    int *tensor;         /* [n] tensor of a chain's last node, -1 otherwise */
} planner;

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
}

/* ---- fusion ------------------------------------------------------------------------------------ */

/* The consumer of the chain's last node when the chain may swallow it, else -1. */
static int next_of(const planner *b, int last)
{
    if (b->kept[last] || b->uses[last] != 1) return -1;
    return b->owner[b->consumer[last]] == b->consumer[last] ? b->consumer[last] : -1;
}

static void absorb(planner *b, int start, int next)
{
    b->owner[next] = start;
    b->end[start] = next;
}

static int is_activation(graph_op op)
{
    return op == OP_relu || op == OP_relu6;
}

/* A sum goes to the operand that is computed last, so that the other one is there already. */
static int may_take_sum(const planner *b, int last, int sum)
{
    const node *v = graph_node(b->g, sum);
    int other = v->in[0] == last ? v->in[1] : v->in[0];
    return other < last;
}

static void fuse_from(planner *b, int start)
{
    graph_op op = graph_node(b->g, start)->op;
    int next = next_of(b, start), summed = 0;
    if (op != OP_conv && op != OP_linear && op != OP_batchnorm && op != OP_add) return;
    if (op == OP_conv && next >= 0 && graph_node(b->g, next)->op == OP_batchnorm) {
        absorb(b, start, next);
        next = next_of(b, next);
    }
    while (next >= 0) {
        graph_op follow = graph_node(b->g, next)->op;
        int activation_now = is_activation(follow);
        if (!activation_now && !(op == OP_conv && follow == OP_add && !summed &&
                                 may_take_sum(b, b->end[start], next)))
            break;
        summed = 1;
        absorb(b, start, next);
        if (activation_now) break;
        next = next_of(b, next);
    }
}

/* ---- weights ----------------------------------------------------------------------------------- */

/* s = gamma / sqrt(var + eps), t = beta - mean s, in double. */
static void bn_factors(const planner *b, const node *bn, int c, double *s, double *t)
{
    double gamma = (double)weights_at(b->w, bn->weight)[c];
    double beta = (double)weights_at(b->w, bn->bias)[c];
    double mean = (double)weights_at(b->w, bn->mean)[c];
    double var = (double)weights_at(b->w, bn->var)[c];
    *s = gamma / sqrt(var + (double)bn->eps);
    *t = beta - mean * *s;
}

static int conv_weights(const planner *b, plan_step *step, const node *v, const node *bn)
{
    int rc = 0;
    size_t c = (size_t)v->out.c, n = graph_param(b->g, v->weight)->count, each = n / c;
    const float *w = weights_at(b->w, v->weight);
    const float *bias = v->bias >= 0 ? weights_at(b->w, v->bias) : NULL;
    TRY(mem_new_aligned(&step->w, n, sizeof *step->w, v->name));
    TRY(mem_new_aligned(&step->b, c, sizeof *step->b, v->name));
    step->w_count = n;
    for (size_t o = 0; o < c; o++) {
        double s = 1, t = 0;
        if (bn != NULL) bn_factors(b, bn, (int)o, &s, &t);
        step->b[o] = (float)(t + s * (bias ? (double)bias[o] : 0));
        for (size_t i = o * each; i < (o + 1) * each; i++)
            step->w[i] = bn != NULL ? (float)((double)w[i] * s) : w[i];
    }
done:
    return rc;
}

static int bn_weights(const planner *b, plan_step *step, const node *v)
{
    int rc = 0;
    size_t c = (size_t)v->out.c;
    TRY(mem_new_aligned(&step->w, c, sizeof *step->w, v->name));
    TRY(mem_new_aligned(&step->b, c, sizeof *step->b, v->name));
    step->w_count = c;
    for (size_t o = 0; o < c; o++) {
        double s, t;
        bn_factors(b, v, (int)o, &s, &t);
        step->w[o] = (float)s;
        step->b[o] = (float)t;
    }
done:
    return rc;
}

/* ---- steps ------------------------------------------------------------------------------------- */

/* Emits the step of the chain that starts at `start`. */
static int emit(planner *b, int start)
{
    int rc = 0, at = start;
    const node *v = graph_node(b->g, start), *bn = NULL;
    plan *p = b->p;
    plan_step *s = &p->steps[p->n_steps];
    int *x = p->edges + p->n_edges;
    *s = (plan_step){ .op = v->op, .name = v->name, .x = x, .n_x = v->n_in, .residual = -1,
                      .kernel = v->kernel, .stride = v->stride, .pad = v->pad,
                      .groups = v->groups };
    for (int i = 0; i < v->n_in; i++)
        x[i] = b->tensor[v->in[i]];
    p->n_edges += (size_t)v->n_in;
    while (at != b->end[start]) {
        int next = b->consumer[at];
        const node *u = graph_node(b->g, next);
        if (u->op == OP_batchnorm) bn = u;
        if (u->op == OP_add) s->residual = b->tensor[u->in[0] == at ? u->in[1] : u->in[0]];
        if (u->op == OP_relu) s->act = ACT_RELU;
        if (u->op == OP_relu6) s->act = ACT_RELU6;
        at = next;
    }
    if (v->op == OP_relu) s->act = ACT_RELU;
    if (v->op == OP_relu6) s->act = ACT_RELU6;
    if (v->op == OP_conv || v->op == OP_linear) TRY(conv_weights(b, s, v, bn));
    if (v->op == OP_batchnorm) TRY(bn_weights(b, s, v));
    s->y = b->tensor[at] = (int)p->n_tensors;
    p->tensors[p->n_tensors] = (plan_tensor){ .s = v->out, .node = at, .root = s->y };
    p->n_tensors++;
    p->n_steps++; /* counted last, so that plan_free sees whole steps only */
done:
    if (rc < 0) {
        free(s->w);
        free(s->b);
    }
    return rc;
}

static int add_output(planner *b, const plan_request *r)
{
    plan_output *o = &b->p->outputs[b->p->n_outputs++];
    shape s = graph_node(b->g, r->node)->out;
    int map = s.h * s.w > 1 && r->reduce == REDUCE_NONE;
    *o = (plan_output){ .name = r->name, .tensor = b->tensor[r->node], .node = r->node,
                        .reduce = r->reduce,
                        .rank = map ? 3 : 1,
                        .dim = { (size_t)s.c, map ? (size_t)s.h : 1, map ? (size_t)s.w : 1 } };
    o->count = o->dim[0] * o->dim[1] * o->dim[2];
    return 0;
}

int plan_build(plan **out, const graph *g, const weights *w, const plan_request *requests,
               size_t n_requests, int dense)
{
    int rc = 0;
    size_t edges = 0;
    planner b = { .g = g, .w = w, .n = graph_nodes(g) };
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
    for (size_t i = 0; i < b.n; i++)
        if (b.need[i] && b.owner[i] == (int)i) fuse_from(&b, (int)i);
    for (size_t i = 0; i < b.n; i++) /* a chain runs when its last node is due */
        if (b.need[i] && b.end[b.owner[i]] == (int)i) TRY(emit(&b, b.owner[i]));
    for (size_t i = 0; i < n_requests; i++)
        TRY(add_output(&b, &requests[i]));
    TRY(plan_memory(b.p, dense));
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
