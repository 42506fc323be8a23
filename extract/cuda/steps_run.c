/* Steps queued: which kernels and library calls each of them is. */
#include "extract/cuda/steps.h"

op_args step_args(const device_view *x, const device_view *y)
{
    return (op_args){.x = {x->p},
                     .y = y->p,
                     .x_type = (int)x->type,
                     .y_type = (int)y->type,
                     .n = x->n,
                     .c = x->c,
                     .h = x->h,
                     .w = x->w,
                     .oh = y->h,
                     .ow = y->w};
}

static int run_curve(const device_plan *d, activation act, const device_view *x,
                     const device_view *y)
{
    static const int kernels[] = {[ACT_RELU] = KERNEL_relu_fwd,
                                  [ACT_RELU6] = KERNEL_relu6_fwd,
                                  [ACT_GELU] = KERNEL_gelu_fwd,
                                  [ACT_SILU] = KERNEL_silu_fwd,
                                  [ACT_SIGMOID] = KERNEL_sigmoid_fwd};
    op_args a = step_args(x, y);
    return device_run(d->be, kernels[act], &a);
}

static int run_sum(const device_plan *d, const device_view *x, const device_view *r, activation act,
                   const device_view *y)
{
    op_args a = step_args(x, y);
    a.x[1] = r->p;
    a.act = (int)act;
    return device_run(d->be, KERNEL_add_fwd, &a);
}

/* The graph, then what it leaves to kernels. */
static int run_conv(const device_step *t, const device_plan *d, const device_view *x,
                    const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    const conv_key *key = &t->conv->key;
    device_view r = {.p = NULL};
    if (s->residual >= 0) r = device_view_of(d, s->residual);
    TRY(conv_graph_run(t->conv, d->be->dnn, x->p, t->w, t->b, r.p, y->p, d->workspace));
    if (s->residual >= 0 && !key->residual) TRY(run_sum(d, y, &r, s->act, y));
    else if (s->act != key->act) TRY(run_curve(d, s->act, y, y));
done:
    return rc;
}

/* Channels [x_at, x_at + c) of x to those from y_at of y. */
int step_copy(const device_plan *d, const device_view *x, int x_at, int c, const device_view *y,
              int y_at)
{
    op_args a = step_args(x, y);
    a.c = c;
    a.x_c = x->c;
    a.x_at = x_at;
    a.y_c = y->c;
    a.y_at = y_at;
    return device_run(d->be, KERNEL_copy_fwd, &a);
}

static int run_linear(const device_step *t, const device_plan *d, const device_view *x,
                      const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    op_args a;
    lt_operands o = {.x = x->p, .w = t->w, .bias = t->b, .y = y->p, .workspace = d->workspace};
    if (t->wide > 0) {
        device_view wide = *x;
        wide.p = d->workspace;
        wide.c = t->linear->shape.k;
        TRY(memory_clear(d->be, wide.p, t->wide));
        TRY(step_copy(d, x, 0, x->c, &wide, 0));
        o.x = wide.p;
        o.workspace = (char *)d->workspace + t->wide;
    }
    if (s->residual >= 0) o.residual = device_view_of(d, s->residual).p;
    TRY(linear_run(t->linear, d->be, &o));
    if (s->act == ACT_NONE || s->act == ACT_RELU) goto done;
    a = step_args(y, y);
    a.x[1] = t->extra;
    a.act = (int)s->act;
    TRY(device_run(d->be, KERNEL_bias_act_fwd, &a));
done:
    return rc;
}

static int run_depthwise(const device_step *t, const device_plan *d, const device_view *x,
                         const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    op_args a = step_args(x, y);
    a.x[1] = t->w;
    a.x[2] = t->b;
    a.kernel = s->kernel;
    a.stride = s->stride;
    a.pad = s->pad;
    a.act = (int)(s->residual < 0 ? s->act : ACT_NONE);
    TRY(device_run(d->be, KERNEL_dwconv_fwd, &a));
    if (s->residual >= 0) {
        device_view r = device_view_of(d, s->residual);
        TRY(run_sum(d, y, &r, s->act, y));
    }
done:
    return rc;
}

static int run_concat(const device_plan *d, const plan_step *s, const device_view *y)
{
    int rc = 0, at = 0;
    for (int k = 0; k < s->n_x; k++) {
        device_view x = device_view_of(d, s->x[k]);
        TRY(step_copy(d, &x, 0, x.c, y, at));
        at += x.c;
    }
done:
    return rc;
}

/* One kernel, its arguments from the node. */
static int run_kernel(const device_step *t, const device_plan *d, const device_view *x,
                      const device_view *y)
{
    static const int kernels[OP_COUNT] = {[OP_batchnorm] = KERNEL_scale_shift_fwd,
                                          [OP_scale] = KERNEL_scale_shift_fwd,
                                          [OP_layernorm] = KERNEL_layernorm_fwd,
                                          [OP_maxpool] = KERNEL_maxpool_fwd,
                                          [OP_avgpool] = KERNEL_avgpool_fwd,
                                          [OP_gap] = KERNEL_gap_fwd,
                                          [OP_gate] = KERNEL_gate_fwd,
                                          [OP_pad] = KERNEL_pad_crop_fwd,
                                          [OP_crop] = KERNEL_pad_crop_fwd,
                                          [OP_embed] = KERNEL_embed_fwd,
                                          [OP_token] = KERNEL_token_fwd,
                                          [OP_unfold] = KERNEL_unfold_fwd,
                                          [OP_merge] = KERNEL_merge_fwd,
                                          [OP_shortcut_a] = KERNEL_shortcut_a_fwd};
    const plan_step *s = t->s;
    op_args a = step_args(x, y);
    a.x[1] = t->w;
    a.x[2] = t->b;
    if (s->op == OP_gate) a.x[1] = device_view_of(d, s->x[1]).p;
    a.kernel = s->kernel;
    a.stride = s->stride;
    a.pad = s->pad;
    a.groups = s->groups;
    a.eps = s->v->eps;
    a.act = (int)s->act;
    if (s->op == OP_token) a.x_at = s->v->offset;
    if (s->op == OP_shortcut_a) {
        a.y_c = y->c;
        a.y_at = (y->c - x->c) / 2;
    }
    if (s->v->ceil_mode) a.flags |= KF_CEIL;
    if (s->v->zero_pad) a.flags |= KF_ZERO_PAD;
    return device_run(d->be, kernels[s->op], &a);
}

/* Moments of chunks, of groups, then the norm itself; the first two lie in the workspace. */
static int run_groupnorm(const device_step *t, const device_plan *d, const device_view *x,
                         const device_view *y)
{
    int rc = 0;
    op_args a = step_args(x, y);
    a.groups = t->s->groups;
    a.eps = t->s->v->eps;
    a.y = (char *)d->workspace + step_groupnorm_moments(x, a.groups);
    a.y_type = ELEMENT_F32;
    TRY(device_run(d->be, KERNEL_groupnorm_sum_fwd, &a));
    a.x[0] = a.y;
    a.x_type = ELEMENT_F32;
    a.y = d->workspace;
    TRY(device_run(d->be, KERNEL_groupnorm_join_fwd, &a));
    a = step_args(x, y);
    a.x[1] = t->w;
    a.x[2] = t->b;
    a.x[3] = d->workspace;
    a.groups = t->s->groups;
    a.act = (int)t->s->act;
    TRY(device_run(d->be, KERNEL_groupnorm_fwd, &a));
done:
    return rc;
}

static int run_op(const device_step *t, const device_plan *d, const device_view *x,
                  const device_view *y)
{
    const plan_step *s = t->s;
    device_view second;
    switch (s->op) {
    case OP_conv:
    case OP_linear:
        if (t->conv != NULL) return run_conv(t, d, x, y);
        return t->linear != NULL ? run_linear(t, d, x, y) : run_depthwise(t, d, x, y);
    case OP_relu:
    case OP_relu6:
    case OP_gelu:
    case OP_silu:
    case OP_sigmoid:
        return run_curve(d, s->act, x, y);
    case OP_add:
        second = device_view_of(d, s->x[1]);
        return run_sum(d, x, &second, s->act, y);
    case OP_concat:
        return run_concat(d, s, y);
    case OP_slice:
        return step_copy(d, x, s->v->offset, y->c, y, 0);
    case OP_attention:
        return step_attention_run(t, d, x, y);
    case OP_performer:
        return step_performer_run(t, d, x, y);
    case OP_groupnorm:
        return run_groupnorm(t, d, x, y);
    default:
        return s->op >= OP_conv_back ? step_run_back(t, d, x, y) : run_kernel(t, d, x, y);
    }
}

static int run_whole(const device_step *t, const device_plan *d, const device_view *x,
                     const device_view *y)
{
    int rc = 0;
    TRY(run_op(t, d, x, y));
    if (t->s->op >= OP_conv_back) TRY(step_end_back(t, d, y));
done:
    return rc;
}

int step_run(const device_step *t, const device_plan *d)
{
    int rc = 0;
    device_view y = device_view_of(d, t->s->y), x = device_view_of(d, t->s->x[0]), staged = y;
    if (t->stage == 0) return run_whole(t, d, &x, &y);
    staged.p = (char *)d->workspace + t->stage;
    staged.type = x.type;
    TRY(run_op(t, d, &x, &staged));
    TRY(step_copy(d, &staged, 0, y.c, &y, 0));
    if (t->s->op >= OP_conv_back) TRY(step_end_back(t, d, &y));
done:
    return rc;
}

/* ---- the two ends ------------------------------------------------------------------------------ */

int step_normalise(const device_step *t, const device_plan *d, const void *rgb, const float *mean,
                   const float *std)
{
    device_view y = device_view_of(d, t->s->y);
    op_args a = step_args(&y, &y);
    a.c = d->p->tensors[t->s->y].s.c;
    a.y_c = y.c;
    a.u8 = rgb;
    a.x[0] = mean;
    a.x[1] = std;
    a.x_type = ELEMENT_F32;
    return device_run(d->be, KERNEL_normalise_fwd, &a);
}

/* Values [n,c,h,w] are a map of c pixels with h w channels, turned round; then to y's type and width. */
int step_import(const device_step *t, const device_plan *d, const float *values)
{
    int rc = 0, c = d->p->tensors[t->s->y].s.c;
    device_view y = device_view_of(d, t->s->y), turned = {.n = y.n, .c = c, .h = y.h, .w = y.w};
    op_args a = step_args(&turned, &turned);
    int direct = y.type == ELEMENT_F32 && y.c == c;
    turned.p = direct ? y.p : d->workspace;
    a.x[0] = values;
    a.y = turned.p;
    a.c = y.h * y.w;
    a.h = c;
    a.w = 1;
    a.flags = KF_NCHW;
    TRY(device_run(d->be, KERNEL_export_fwd, &a));
    if (!direct) TRY(step_copy(d, &turned, 0, c, &y, 0));
done:
    return rc;
}

int step_export(const device_plan *d, const plan_output *o, float *out)
{
    device_view x = device_view_of(d, o->tensor), y = x;
    op_args a;
    y.p = out;
    y.type = ELEMENT_F32;
    a = step_args(&x, &y);
    if (o->reduce != REDUCE_NONE) {
        a.oh = a.ow = 1;
        a.reduce = (int)o->reduce;
        return device_run(d->be, KERNEL_gap_fwd, &a);
    }
    if (o->layout == TAP_CHW) a.flags = KF_NCHW;
    return device_run(d->be, KERNEL_export_fwd, &a);
}
