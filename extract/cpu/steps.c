#include "extract/cpu/steps_parts.h"
#include "extract/cpu/maps.h"
#include "extract/cpu/maps_back.h"
#include "extract/cpu/norms.h"
#include "extract/cpu/tokens.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

view arena_view(const arena_layout *l, char *arena, int tensor)
{
    const plan_tensor *t = &l->p->tensors[tensor];
    const plan_tensor *r = &l->p->tensors[t->root];
    view v = { .c = t->s.c, .h = t->s.h, .w = t->s.w, .halo = r->halo, .ld = (size_t)r->s.c };
    v.row = (size_t)(r->s.w + 2 * r->halo) * v.ld;
    v.image = v.row * (size_t)(r->s.h + 2 * r->halo);
    v.is_bf16 = l->is_bf16 && r->s.h * r->s.w > 1;
    v.p = arena + r->at * l->images * ARENA_ELEMENT +
          ((size_t)r->halo * (v.row + v.ld) + (size_t)t->channel) * view_bytes(&v);
    return v;
}

/* ---- preparation -------------------------------------------------------------------------------- */

int step_copy_floats(float **out, const float *v, size_t n, const char *what)
{
    int rc = mem_new_aligned(out, n, sizeof **out, what);
    if (rc == 0) memcpy(*out, v, n * sizeof **out);
    return rc;
}

static int prepare_product(cpu_step *c, const view *x, const view *y, const cpu_step *like)
{
    const plan_step *s = &c->s;
    int is_vector = x->h * x->w == 1;
    if (c->l->uses_dnnl && !(s->op == OP_linear && is_vector))
        return conv_dnnl_new(&c->dnnl, s, x, y, (int)c->l->images);
    if (s->groups > 1 && s->groups == y->c && y->c == x->c) return depthwise_new(&c->each, s, x, y);
    if (s->groups > 1) return grouped_new(&c->grouped, s, x, y, like != NULL ? like->grouped : NULL);
    return conv_new(&c->conv, s, x, y, like != NULL ? like->conv : NULL);
}

/* Positions with the class token at the first one. */
static int prepare_embed(cpu_step *c, const view *y)
{
    int rc = step_copy_floats(&c->w, c->s.w, (size_t)y->h * (size_t)y->c, c->s.name);
    for (int k = 0; rc == 0 && k < y->c; k++)
        c->w[k] += c->s.b[k];
    return rc;
}

static int prepare(cpu_step *c, const view *x, const view *y, const cpu_step *like)
{
    int rc = 0;
    const plan_step *s = &c->s;
    switch (s->op) {
    case OP_conv:
    case OP_linear: TRY(prepare_product(c, x, y, like)); break;
    case OP_batchnorm:
    case OP_scale:
    case OP_groupnorm:
    case OP_layernorm:
        TRY(step_copy_floats(&c->w, s->w, (size_t)y->c, s->name));
        TRY(step_copy_floats(&c->b, s->b, (size_t)y->c, s->name));
        break;
    case OP_embed: TRY(prepare_embed(c, y)); break;
    case OP_attention: TRY(attention_new(&c->attention, s, x, y)); break;
    case OP_performer: TRY(performer_new(&c->performer, s, x, y)); break;
    default:
        if (s->op >= OP_conv_back) TRY(step_prepare_back(c, x, y, like));
        break;
    }
done:
    return rc;
}

/* Ops that read and write different element types by themselves. */
static int converts(const cpu_step *c)
{
    switch (c->s.op) {
    case OP_input: case OP_avgpool: case OP_gap: case OP_token: case OP_concat: return 1;
    case OP_conv: return c->l->uses_dnnl;
    default: return step_converts_back(c);
    }
}

static size_t own_scratch(const cpu_step *c, const view *x, const view *y)
{
    size_t channels = (size_t)x->c;
    switch (c->s.op) {
    case OP_avgpool: return channels * sizeof(float);
    case OP_gap: return 2 * channels * sizeof(float);
    case OP_groupnorm:
    case OP_layernorm: return norm_scratch(channels);
    case OP_attention: return attention_scratch(c->attention);
    case OP_performer: return performer_scratch(c->performer);
    case OP_conv:
    case OP_linear: return c->dnnl != NULL ? conv_dnnl_scratch(c->dnnl) : 0;
    default: return step_scratch_back(c, x, y);
    }
}

/* In a bf16 network a map of one pixel is a vector and f32: an op between the two writes x's type first, and
 * its ending follows. */
static void make_staged(cpu_step *c, const view *x, const view *y)
{
    c->stage = (size_t)y->c * (size_t)y->h * (size_t)y->w * c->l->images * view_bytes(x);
    c->later = c->s;
    if (c->s.residual >= 0) c->s.act = ACT_NONE;
    c->s.residual = c->s.gate_x = -1;
    c->s.gate = OP_COUNT;
}

int cpu_step_new(cpu_step **out, const arena_layout *l, const plan_step *s, char *arena, const cpu_step *like)
{
    int rc = 0;
    cpu_step *c = NULL;
    view x, y = arena_view(l, arena, s->y);
    x = s->n_x > 0 ? arena_view(l, arena, s->x[0]) : y;
    TRY(mem_new(&c, 1, sizeof *c, s->name));
    c->s = *s;
    c->l = l;
    if (x.is_bf16 != y.is_bf16 && !converts(c)) {
        make_staged(c, &x, &y);
        y.is_bf16 = x.is_bf16;
    }
    TRY(prepare(c, &x, &y, like));
    c->s.w = c->s.b = NULL;
    c->scratch = (own_scratch(c, &x, &y) + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    *out = c;
    c = NULL;
done:
    cpu_step_free(&c);
    return rc;
}

void cpu_step_free(cpu_step **c)
{
    if (*c == NULL) return;
    conv_free(&(*c)->conv);
    conv_back_free(&(*c)->back);
    depthwise_free(&(*c)->each);
    grouped_free(&(*c)->grouped);
    conv_dnnl_free(&(*c)->dnnl);
    attention_free(&(*c)->attention);
    attention_back_free(&(*c)->attention_back);
    performer_free(&(*c)->performer);
    performer_back_free(&(*c)->performer_back);
    deflate_free(&(*c)->deflate);
    free((*c)->w);
    free((*c)->b);
    free((*c)->offsets);
    free(*c);
    *c = NULL;
}

size_t cpu_step_scratch(const cpu_step *c)
{
    return c->scratch + c->stage;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void run_concat(const cpu_step *c, char *arena, int n)
{
    const plan_step *s = &c->s;
    view y = arena_view(c->l, arena, s->y);
    for (int k = 0; k < s->n_x; k++) { /* what lies elsewhere */
        view x = arena_view(c->l, arena, s->x[k]);
        if (x.p != y.p) map_copy(&x, &y, n);
        y.p = (char *)y.p + (size_t)x.c * view_bytes(&y);
    }
}

static int run_product(const cpu_step *c, char *arena, const view *x, const view *y, void *scratch,
                       int n)
{
    const plan_step *s = &c->s;
    view sum, *r = NULL;
    if (s->residual >= 0) {
        sum = arena_view(c->l, arena, s->residual);
        r = &sum;
    }
    if (c->dnnl != NULL) return conv_dnnl_run(c->dnnl, x, y, r, scratch);
    if (c->conv != NULL) conv_run(c->conv, x, y, r, n);
    if (c->grouped != NULL) grouped_run(c->grouped, x, y, r, n);
    if (c->each != NULL) {
        depthwise_run(c->each, x, y, r != NULL ? ACT_NONE : s->act, n);
        if (r != NULL) map_add(y, r, s->act, y, n);
    }
    return 0;
}

static int run_op(const cpu_step *c, char *arena, const view *x, const view *y, void *scratch, int n)
{
    const plan_step *s = &c->s;
    const norm v = { .groups = s->groups, .eps = s->v->eps, .gamma = c->w, .beta = c->b };
    view second = { 0 };
    if (s->n_x > 1) second = arena_view(c->l, arena, s->x[1]);
    switch (s->op) {
    case OP_conv:
    case OP_linear: return run_product(c, arena, x, y, scratch, n);
    case OP_batchnorm:
    case OP_scale: map_scale_shift(x, c->w, c->b, s->act, y, n); break;
    case OP_groupnorm: norm_groups(&v, x, s->act, y, scratch, n); break;
    case OP_layernorm: norm_layers(&v, x, y, scratch, n); break;
    case OP_relu:
    case OP_relu6:
    case OP_gelu:
    case OP_silu:
    case OP_sigmoid: map_activate(x, s->act, y, n); break;
    case OP_maxpool:
        map_maxpool(x, s->kernel, s->stride, s->pad, s->v->zero_pad, y, n);
        break;
    case OP_avgpool: map_avgpool(x, s->kernel, s->stride, scratch, y, n); break;
    case OP_gap: map_gap(x, scratch, y, n); break;
    case OP_add: map_add(x, &second, s->act, y, n); break;
    case OP_gate: map_gate(x, &second, y, n); break;
    case OP_concat: run_concat(c, arena, n); break;
    case OP_slice: map_slice(x, s->v->offset, y, n); break;
    case OP_pad:
    case OP_crop: map_fit(x, y, n); break;
    case OP_embed: token_embed(x, c->w, y, n); break;
    case OP_token: token_take(x, s->v->offset, y, n); break;
    case OP_attention: attention_run(c->attention, x, y, scratch, n); break;
    case OP_performer: performer_run(c->performer, x, y, scratch, n); break;
    case OP_unfold: token_unfold(x, s->kernel, s->stride, s->pad, y, n); break;
    case OP_merge: token_merge(x, y, n); break;
    case OP_shortcut_a: map_shortcut_a(x, y, n); break;
    default: return step_run_back(c, arena, x, y, scratch, n);
    }
    return 0;
}

/* What make_staged() put off. */
static void end_staged(const cpu_step *c, char *arena, const view *y, int n)
{
    const plan_step *s = &c->later;
    conv_ending e = { .gate = s->gate, .after = s->after };
    view r, at;
    if (s->residual >= 0) {
        r = arena_view(c->l, arena, s->residual);
        e.residual = &r;
    }
    if (s->gate != OP_COUNT) {
        at = arena_view(c->l, arena, s->gate_x);
        e.at = &at;
    }
    if (s->op >= OP_conv_back) map_end(y, &e, n);
    else if (e.residual != NULL) map_add(y, &r, s->act, y, n);
}

static int run_staged(const cpu_step *c, char *arena, const view *x, const view *y, char *scratch,
                      int n)
{
    view t = *y;
    int rc;
    t.p = scratch + c->scratch;
    t.is_bf16 = x->is_bf16;
    t.halo = 0;
    t.ld = (size_t)t.c;
    t.row = t.ld * (size_t)t.w;
    t.image = t.row * (size_t)t.h;
    rc = run_op(c, arena, x, &t, scratch, n);
    map_copy(&t, y, n);
    end_staged(c, arena, y, n);
    return rc;
}

int cpu_step_run(const cpu_step *c, char *arena, void *scratch, int n)
{
    view x, y = arena_view(c->l, arena, c->s.y);
    x = c->s.n_x > 0 ? arena_view(c->l, arena, c->s.x[0]) : y;
    map_zero_halo(&y, n);
    return c->stage > 0 ? run_staged(c, arena, &x, &y, scratch, n)
                        : run_op(c, arena, &x, &y, scratch, n);
}
