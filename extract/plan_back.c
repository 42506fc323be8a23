/* Gradients in a plan: what goes into the adjoint of a convolution or linear layer.
 *
 *   [scale, batchnorm_back ...] product_back [add] [gate] [scale, batchnorm_back ...] [add]
 *
 * Factors of channels before and behind go into its weights, in double and rounded once: a mask commutes with
 * them.  One sum is fused, in front of the gate or behind it: x + f(x) of ResNet, whose gradients meet before the
 * derivative of the ReLU, and of networks whose norms come first, where they meet behind it.  The gradient of a norm
 * takes a sum with it, that of a maximum pool a sum and a gate. */
#include "extract/plan_parts.h"
#include "common/err.h"

#include <math.h>
#include <string.h>

static graph_op op_of(const planner *b, int i)
{
    return graph_node(b->g, i)->op;
}

static int is_product(graph_op op)
{
    return op == OP_conv_back || op == OP_linear_back;
}

static int is_factor(graph_op op)
{
    return op == OP_batchnorm_back || op == OP_scale;
}

static int is_norm(graph_op op)
{
    return op == OP_layernorm_back || op == OP_groupnorm_back;
}

static int is_gate(graph_op op)
{
    return op == OP_relu_back || op == OP_relu6_back || op == OP_gelu_back || op == OP_silu_back ||
           op == OP_sigmoid_back;
}

/* The product that the factors at `i` run into, over the consumers of each; -1: none. */
static int product_behind(const planner *b, int i)
{
    while (i >= 0 && is_factor(op_of(b, i)))
        i = plan_next(b, i);
    return i >= 0 && is_product(op_of(b, i)) && plan_branches(b, i) == NULL ? i : -1;
}

int plan_is_back(const planner *b, int start)
{
    const branches *m = plan_branches(b, start);
    if (m != NULL) return m->back;
    if (op_of(b, start) == OP_scale && b->end[start] != start) return 1; /* nothing else grows from it */
    return product_behind(b, start) >= 0 || is_product(op_of(b, start)) || is_norm(op_of(b, start)) ||
           op_of(b, start) == OP_batchnorm_back || op_of(b, start) == OP_maxpool_back;
}

/* ---- growing ------------------------------------------------------------------------------------ */

static int take_factors(planner *b, int start, int next, int most)
{
    int n = 0;
    for (; next >= 0 && n < most && is_factor(op_of(b, next)); n++) {
        plan_absorb(b, start, next);
        next = plan_next(b, next);
    }
    return n;
}

static int take_sum(planner *b, int start)
{
    int last = b->end[start], next = plan_next(b, last);
    const node *v = next >= 0 ? graph_node(b->g, next) : NULL;
    if (v == NULL || v->op != OP_add || v->in[0] == v->in[1] || !plan_may_sum(b, last, next)) return 0;
    plan_absorb(b, start, next);
    return 1;
}

/* As the second operand a gradient is what the derivative is taken at: not its own. */
static int take_gate(planner *b, int start)
{
    int last = b->end[start], next = plan_next(b, last);
    const node *v = next >= 0 ? graph_node(b->g, next) : NULL;
    if (v == NULL || !is_gate(v->op) || v->in[0] != last || v->in[1] >= last) return 0;
    plan_absorb(b, start, next);
    return 1;
}

void plan_fuse_back(planner *b, int start)
{
    int product = product_behind(b, start), summed;
    for (int i = start; product >= 0 && i != product; i = b->end[start])
        plan_absorb(b, start, plan_next(b, i));
    if (!(b->kind & PLAN_GRADIENTS)) return;
    if (product < 0 && plan_branches(b, start) == NULL) { /* a norm, a pool, or factors alone */
        if (op_of(b, start) == OP_batchnorm_back || op_of(b, start) == OP_scale) return;
        take_sum(b, start);
        if (op_of(b, start) == OP_maxpool_back) take_gate(b, start);
        return;
    }
    summed = take_sum(b, start);
    take_gate(b, start);
    if (!summed) {
        int next = plan_next(b, b->end[start]);
        if (plan_branches(b, start) == NULL && next >= 0 && product_behind(b, next) < 0)
            take_factors(b, start, next, FOLDS_MAX);
        take_sum(b, start);
    }
}

/* ---- emitting ----------------------------------------------------------------------------------- */

static void follow(const planner *b, int start, plan_step *s, folds *f)
{
    int at = start, gated = 0;
    *f = (folds){ .product = -1 };
    for (;; at = b->consumer[at]) {
        const node *u = graph_node(b->g, at);
        if (is_product(u->op) && plan_branches(b, start) == NULL) f->product = at;
        else if (is_factor(u->op) && f->product < 0) f->before[f->n_before++] = at;
        else if (is_factor(u->op)) f->behind[f->n_behind++] = at;
        else if (is_gate(u->op)) {
            gated = 1;
            s->gate = u->op;
            s->gate_x = b->tensor[u->in[1]];
        } else if (u->op == OP_add && at != start) {
            int last = u->in[0];
            for (int i = start; i != at; i = b->consumer[i])
                last = i;
            s->residual = b->tensor[u->in[0] == last ? u->in[1] : u->in[0]];
            s->after = gated;
        }
        if (at == b->end[start]) break;
    }
}

static weight_key key_of(const planner *b, const folds *f)
{
    weight_key k = { { 0 } };
    const node *v = graph_node(b->g, f->product);
    int n = 0;
    k.part[n++] = (int)v->op;
    k.part[n++] = v->weight;
    for (int i = 0; i < f->n_before && n + 3 < WEIGHT_PARTS; i++) {
        k.part[n++] = 1 + graph_node(b->g, f->before[i])->weight;
        k.part[n++] = 1 + graph_node(b->g, f->before[i])->var;
    }
    k.part[n++] = -1;
    for (int i = 0; i < f->n_behind && n + 2 < WEIGHT_PARTS; i++) {
        k.part[n++] = 1 + graph_node(b->g, f->behind[i])->weight;
        k.part[n++] = 1 + graph_node(b->g, f->behind[i])->var;
    }
    if (f->n_before + f->n_behind > 2) k.part[1] = -1 - f->product; /* nobody's twin */
    return k;
}

int plan_emit_back(planner *b, plan_step *s, int start)
{
    int rc = 0;
    const branches *m = plan_branches(b, start);
    folds f;
    follow(b, start, s, &f);
    if (m != NULL) {
        s->op = OP_conv_back;
        s->n_x = 1;
        b->p->edges[b->p->n_edges] = b->tensor[m->source];
        s->kernel = m->kernel;
        s->stride = m->stride;
        s->pad = m->kernel / 2;
        if (!plan_find_twin(b, s, s->v, m, NULL, NULL)) TRY(plan_branch_weights(b, s, m));
    } else if (f.product >= 0) {
        const node *v = graph_node(b->g, f.product);
        const weight_key key = key_of(b, &f);
        s->op = v->op;
        s->v = v;
        s->name = v->name;
        s->kernel = v->kernel;
        s->stride = v->stride;
        s->pad = v->pad;
        s->groups = v->groups;
        if (!plan_is_twin(b, s, &key)) TRY(plan_back_weights(b, s, &f));
    } else {
        TRY(plan_other_weights(b, s, s->v));
    }
done:
    return rc;
}

/* ---- twins -------------------------------------------------------------------------------------- */

int plan_is_twin(planner *b, plan_step *s, const weight_key *key)
{
    size_t n = b->p->n_steps;
    b->keys[n] = *key;
    if (!(b->kind & PLAN_GRADIENTS)) return 0;
    for (size_t i = 0; i < n; i++)
        if (b->p->steps[i].twin < 0 && b->p->steps[i].w != NULL &&
            memcmp(&b->keys[i], key, sizeof *key) == 0) {
            s->twin = (int)i;
            return 1;
        }
    return 0;
}

int plan_find_twin(planner *b, plan_step *s, const node *v, const branches *m, const node *bn,
                   const node *scale)
{
    weight_key k = { { 0 } };
    int n = 0;
    if (m == NULL && v->op != OP_conv && v->op != OP_linear) return 0;
    k.part[n++] = (int)s->op;
    if (m == NULL) {
        const int own[] = { v->weight, v->bias, bn ? bn->weight : -1, bn ? bn->bias : -1, bn ? bn->var : -1,
                            scale ? scale->weight : -1 };
        memcpy(k.part + n, own, sizeof own);
    }
    for (int i = 0; m != NULL && i < m->n; i++) {
        if (m->of[i].conv >= 0) k.part[n + i] = graph_node(b->g, m->of[i].conv)->weight;
        if (m->of[i].bn >= 0) k.part[n + BRANCHES_MAX + i] = graph_node(b->g, m->of[i].bn)->weight;
    }
    return plan_is_twin(b, s, &k);
}

/* ---- geometry ----------------------------------------------------------------------------------- */

/* Input pixel s a + p is reached from gradient pixels a + d - t, 0 <= t < taps (cpu/conv_back.h). */
static int halo_along(int kernel, int stride, int pad, int gradient, int input)
{
    int halo = 0;
    for (int p = 0; p < stride && p < input; p++) {
        int first = (p + pad) % stride, taps = first < kernel ? (kernel - first - 1) / stride + 1 : 0;
        int d = (p + pad) / stride, last = (input - 1 - p) / stride + d;
        if (taps > 0 && taps - 1 - d > halo) halo = taps - 1 - d;
        if (taps > 0 && last - (gradient - 1) > halo) halo = last - (gradient - 1);
    }
    return halo;
}

int plan_back_halo(const plan_step *s, shape gradient, shape input)
{
    int down = halo_along(s->kernel, s->stride, s->pad, gradient.h, input.h);
    int along = halo_along(s->kernel, s->stride, s->pad, gradient.w, input.w);
    return down > along ? down : along;
}
