/* Gradients and what probes add, as steps. */
#include "extract/cpu/steps_parts.h"
#include "extract/cpu/maps.h"
#include "extract/cpu/maps_back.h"
#include "extract/cpu/norms.h"
#include "extract/cpu/probes.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>

static int is_depthwise(const plan_step *s, const view *x, const view *y)
{
    return s->groups > 1 && s->groups == y->c && y->c == x->c;
}

static int prepare_product(cpu_step *c, const view *x, const view *y, const cpu_step *like)
{
    const plan_step *s = &c->s;
    int is_vector = x->h * x->w == 1;
    if (c->l->uses_dnnl && !(s->op == OP_linear_back && is_vector))
        return conv_dnnl_new(&c->dnnl, s, x, y, (int)c->l->images);
    if (is_depthwise(s, x, y)) return depthwise_new(&c->each, s, x, y);
    return conv_back_new(&c->back, s, x, y, like != NULL ? like->back : NULL);
}

static int prepare_gaussian(cpu_step *c, size_t d)
{
    int rc = 0;
    const plan_step *s = &c->s;
    double *scratch = NULL;
    TRY(step_copy_floats(&c->w, s->w, s->w_count, s->name));
    TRY(step_copy_floats(&c->b, s->b, d * d, s->name));
    TRY(mem_new(&c->offsets, s->w_count / d, sizeof *c->offsets, s->name));
    TRY(mem_new(&scratch, 2 * d, sizeof *scratch, s->name));
    probe_gaussian_offsets(c->w, s->w_count / d, c->b, d, scratch, c->offsets);
done:
    free(scratch);
    return rc;
}

int step_prepare_back(cpu_step *c, const view *x, const view *y, const cpu_step *like)
{
    int rc = 0;
    const plan_step *s = &c->s;
    size_t channels = (size_t)y->c;
    switch (s->op) {
    case OP_conv_back:
    case OP_linear_back: TRY(prepare_product(c, x, y, like)); break;
    case OP_batchnorm_back:
        TRY(step_copy_floats(&c->b, s->b, channels, s->name));
        TRY(step_copy_floats(&c->w, s->w, channels, s->name));
        break;
    case OP_groupnorm_back:
    case OP_layernorm_back: TRY(step_copy_floats(&c->w, s->w, channels, s->name)); break;
    case OP_attention_back: TRY(attention_back_new(&c->attention_back, s, x, y)); break;
    case OP_performer_back: TRY(performer_back_new(&c->performer_back, s, x, y)); break;
    case OP_gaussian: TRY(prepare_gaussian(c, channels)); break;
    case OP_deflate: TRY(deflate_new(&c->deflate, s, x)); break;
    default: break;
    }
done:
    return rc;
}

int step_converts_back(const cpu_step *c)
{
    switch (c->s.op) {
    case OP_gap_back: case OP_token_back: case OP_sum: case OP_gate_back: case OP_gram: case OP_maxpool_back:
    case OP_avgpool_back: case OP_unfold_back: return 1;
    default: return 0;
    }
}

static pool_window window_of(const plan_step *s)
{
    return (pool_window){ s->kernel, s->stride, s->pad, s->v->zero_pad };
}

size_t step_scratch_back(const cpu_step *c, const view *x, const view *y)
{
    const size_t channels = (size_t)(x->c > y->c ? x->c : y->c);
    const pool_window w = window_of(&c->s);
    switch (c->s.op) {
    case OP_conv_back:
    case OP_linear_back:
        return c->dnnl != NULL ? conv_dnnl_scratch(c->dnnl)
               : c->back != NULL ? conv_back_scratch(c->back, (int)c->l->images) : 0;
    case OP_groupnorm_back:
    case OP_layernorm_back: return norm_scratch(channels);
    case OP_maxpool_back: return map_maxpool_back_scratch(x, &w);
    case OP_avgpool_back:
    case OP_gap_back:
    case OP_unfold_back: return channels * sizeof(float);
    case OP_sum:
    case OP_gate_back: return 2 * channels * sizeof(float);
    case OP_attention_back: return attention_back_scratch(c->attention_back);
    case OP_performer_back: return performer_back_scratch(c->performer_back);
    case OP_gaussian: return probe_gaussian_scratch(y);
    case OP_perturb: return probe_perturb_scratch(c->s.v, y);
    case OP_deflate: return deflate_scratch(c->deflate);
    case OP_gram: return probe_gram_scratch(x);
    default: return 0;
    }
}

static int run_product(const cpu_step *c, const view *x, const view *y, const conv_ending *e, void *scratch, int n)
{
    int rc = 0, ended = 0;
    if (c->dnnl != NULL) {
        rc = conv_dnnl_run(c->dnnl, x, y, NULL, scratch);
    } else if (c->each != NULL) {
        depthwise_run_back(c->each, x, y, e, n);
        ended = 1;
    } else {
        conv_back_run(c->back, x, y, e, scratch, n);
        ended = conv_back_ends(c->back);
    }
    if (rc == 0 && !ended) map_end(y, e, n);
    return rc;
}

static int run_probe(const cpu_step *c, const view *x, const view *z, const view *y, void *scratch, int n)
{
    const node *v = c->s.v;
    switch (c->s.op) {
    case OP_sum: map_sum(x, scratch, y, n); break;
    case OP_cotangent: probe_cotangent(v, x, y, n); break;
    case OP_gaussian: probe_gaussian(c->w, c->s.w_count / (size_t)y->c, c->b, c->offsets, x, scratch, y, n); break;
    case OP_perturb: probe_perturb(v, x, z, scratch, y, n); break;
    case OP_deflate: return deflate_run(c->deflate, x, y, scratch, n);
    case OP_gram: probe_gram(x, v->iterations, scratch, y, n); break;
    default: break;
    }
    return 0;
}

int step_run_back(const cpu_step *c, char *arena, const view *x, const view *y, void *scratch, int n)
{
    const plan_step *s = &c->s;
    const node *v = s->v;
    const norm by = { .groups = s->groups, .eps = v->eps, .gamma = c->w, .beta = c->b };
    const pool_window w = window_of(s);
    view z = { 0 }, r, at;
    conv_ending e = { .gate = OP_COUNT };
    if (s->n_x > 1) z = arena_view(c->l, arena, s->x[1]);
    if (s->residual >= 0) {
        r = arena_view(c->l, arena, s->residual);
        e.residual = &r;
        e.after = s->after;
    }
    if (s->gate != OP_COUNT) {
        at = arena_view(c->l, arena, s->gate_x);
        e.gate = s->gate;
        e.at = &at;
    }
    switch (s->op) {
    case OP_conv_back:
    case OP_linear_back: return run_product(c, x, y, &e, scratch, n);
    case OP_batchnorm_back: map_scale_shift(x, c->w, c->b, ACT_NONE, y, n); break;
    case OP_groupnorm_back: norm_groups_back(&by, x, &z, e.residual, y, scratch, n); break;
    case OP_layernorm_back: norm_layers_back(&by, x, &z, e.residual, y, scratch, n); break;
    case OP_relu_back:
    case OP_relu6_back:
    case OP_gelu_back:
    case OP_silu_back:
    case OP_sigmoid_back: map_slope(x, s->op, &z, y, n); break;
    case OP_maxpool_back: map_maxpool_back(x, &z, &w, scratch, y, &e, n); break;
    case OP_avgpool_back: map_avgpool_back(x, s->kernel, s->stride, scratch, y, n); break;
    case OP_gap_back: map_gap_back(x, scratch, y, n); break;
    case OP_slice_back: map_slice_back(x, v->offset, y, n); break;
    case OP_gate_back: map_gate_back(x, &z, scratch, y, n); break;
    case OP_embed_back: token_embed_back(x, y, n); break;
    case OP_token_back: token_take_back(x, v->offset, y, n); break;
    case OP_attention_back: attention_back_run(c->attention_back, x, &z, y, scratch, n); break;
    case OP_performer_back: performer_back_run(c->performer_back, x, &z, y, scratch, n); break;
    case OP_unfold_back: token_unfold_back(x, s->kernel, s->stride, s->pad, scratch, y, n); break;
    case OP_merge_back: token_merge_back(x, y, n); break;
    case OP_shortcut_a_back: map_shortcut_a_back(x, y, n); break;
    default: return run_probe(c, x, &z, y, scratch, n);
    }
    return 0;
}
