/* Gradients as steps: which library calls and kernels each of them is. */
#include "extract/cuda/steps.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- products ---------------------------------------------------------------------------------- */

static int is_depthwise(const plan_step *s, const device_view *x, const device_view *y)
{
    return s->groups > 1 && s->groups == y->c && y->c == x->c;
}

static int is_matrix(const plan_step *s, const device_view *x, const device_view *y)
{
    return s->op == OP_linear_back || (s->kernel == 1 && s->groups == 1 && x->h * x->w == 1 && y->h * y->w == 1);
}

/* w [out,in] as [in,stored], zeros from `out` on. */
static int upload_turned(device_step *t, device_plan *d, size_t out, size_t in, size_t stored, element type)
{
    int rc = 0;
    size_t count;
    float *v = NULL;
    TRY(mem_product(&count, in, stored, t->s->name));
    TRY(mem_new(&v, count, sizeof *v, t->s->name));
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            v[i * stored + o] = t->s->w[o * in + i];
    TRY(step_upload_as(t, d, v, count, type, &t->w));
done:
    free(v);
    return rc;
}

static int prepare_linear(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0, stored = x->type == ELEMENT_F32 ? x->c : (x->c + 7) / 8 * 8;
    const lt_shape l = {.rows = x->n * x->h * x->w,
                        .n = y->c,
                        .k = stored,
                        .type = x->type,
                        .tf32 = d->precision == PRECISION_TF32 && x->h * x->w > 1};
    TRY(linear_new(&t->linear, d->be, &l));
    if (!step_borrow(t, d)) TRY(upload_turned(t, d, (size_t)x->c, (size_t)y->c, (size_t)stored, x->type));
    t->scratch = LINEAR_WORKSPACE;
    if (stored == x->c) goto done;
    t->wide = (size_t)l.rows * (size_t)stored * element_bytes(x->type);
    t->wide = (t->wide + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
    t->scratch += t->wide;
done:
    return rc;
}

/* [c,1,k,k] -> [k,k,c], turned round where the forward kernel serves: at stride 1. */
static int prepare_depthwise(device_step *t, device_plan *d, const device_view *y)
{
    int rc = 0, turned = t->s->stride == 1;
    size_t c = (size_t)y->c, area = (size_t)(t->s->kernel * t->s->kernel);
    float *v = NULL;
    if (step_borrow(t, d)) return 0;
    TRY(mem_new(&v, c * area, sizeof *v, t->s->name));
    for (size_t i = 0; i < c; i++)
        for (size_t k = 0; k < area; k++)
            v[(turned ? area - 1 - k : k) * c + i] = t->s->w[i * area + k];
    TRY(step_upload(t, d, v, c * area * sizeof *v, &t->w));
    memset(v, 0, c * sizeof *v);
    TRY(step_upload(t, d, v, c * sizeof *v, &t->b));
done:
    free(v);
    return rc;
}

/* An image's three channels are eight for cuDNN in 16 bits, as in the forward pass. */
static int stored_channels(const plan_step *s, const device_view *x, const device_view *y)
{
    return x->type != ELEMENT_F32 && s->groups == 1 && y->c == 3 ? 8 : y->c;
}

static int prepare_conv(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0, filters = y->c / t->s->groups;
    const plan_step *s = t->s;
    conv_key key;
    memset(&key, 0, sizeof key); /* keys are compared as bytes */
    key.n = y->n;
    key.c = stored_channels(s, x, y);
    key.h = y->h;
    key.w = y->w;
    key.k = x->c;
    key.oh = x->h;
    key.ow = x->w;
    key.kernel = s->kernel;
    key.stride = s->stride;
    key.pad = s->pad;
    key.groups = s->groups;
    key.back = 1;
    key.precision = element_of(d->precision) == x->type ? d->precision : PRECISION_FP32;
    TRY(step_graph_for(t, d, &key));
    t->scratch = conv_graph_workspace(t->conv);
    if (key.c != y->c) {
        t->wide = (size_t)key.n * (size_t)key.h * (size_t)key.w * (size_t)key.c * element_bytes(x->type);
        t->wide = (t->wide + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
        t->scratch += t->wide;
    }
    if (step_borrow(t, d)) return 0;
    TRY(step_upload_filters(t, d, (size_t)x->c, (size_t)filters, (size_t)(s->groups > 1 ? filters : key.c),
                            (size_t)s->kernel, x->type));
done:
    return rc;
}

static int prepare_product(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    if (is_matrix(t->s, x, y)) return prepare_linear(t, d, x, y);
    if (is_depthwise(t->s, x, y)) return prepare_depthwise(t, d, y);
    return prepare_conv(t, d, x, y);
}

static int run_conv(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    device_view wide = *y;
    if (t->wide > 0) {
        wide.p = d->workspace;
        wide.c = t->conv->key.c;
    }
    TRY(conv_graph_run(t->conv, d->be->dnn, x->p, t->w, NULL, NULL, wide.p, (char *)d->workspace + t->wide));
    if (t->wide > 0) TRY(step_copy(d, &wide, 0, y->c, y, 0));
done:
    return rc;
}

static int run_linear(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    lt_operands o = {.x = x->p, .w = t->w, .y = y->p, .workspace = d->workspace};
    if (t->wide > 0) {
        device_view wide = *x;
        wide.p = d->workspace;
        wide.c = t->linear->shape.k;
        TRY(memory_clear(d->be, wide.p, t->wide));
        TRY(step_copy(d, x, 0, x->c, &wide, 0));
        o.x = wide.p;
        o.workspace = (char *)d->workspace + t->wide;
    }
    TRY(linear_run(t->linear, d->be, &o));
done:
    return rc;
}

/* Arguments of a kernel that gathers: n, h, w, c of y; oh, ow of the gradient. */
static op_args gather_args(const plan_step *s, const device_view *x, const device_view *y)
{
    op_args a = step_args(x, y);
    a.c = y->c;
    a.h = y->h;
    a.w = y->w;
    a.oh = x->h;
    a.ow = x->w;
    a.kernel = s->kernel;
    a.stride = s->stride;
    a.pad = s->pad;
    a.eps = s->v->eps;
    if (s->v->ceil_mode) a.flags |= KF_CEIL;
    if (s->v->zero_pad) a.flags |= KF_ZERO_PAD;
    return a;
}

static int run_depthwise(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    const plan_step *s = t->s;
    op_args a = s->stride == 1 ? step_args(x, y) : gather_args(s, x, y);
    a.x[1] = t->w;
    a.x[2] = t->b;
    a.kernel = s->kernel;
    a.stride = s->stride;
    a.pad = s->stride == 1 ? s->kernel - 1 - s->pad : s->pad;
    return device_run(d->be, s->stride == 1 ? KERNEL_dwconv_fwd : KERNEL_dwconv_back, &a);
}

static int run_product(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    if (t->conv != NULL) return run_conv(t, d, x, y);
    return t->linear != NULL ? run_linear(t, d, x, y) : run_depthwise(t, d, x, y);
}

/* ---- preparation ------------------------------------------------------------------------------- */

static size_t bytes_of(const device_view *v)
{
    return (size_t)v->n * (size_t)v->h * (size_t)v->w * (size_t)v->c * element_bytes(v->type);
}

/* Moments of the groups and the sums of the gradient behind them; then the moments of chunks. */
static size_t groupnorm_scratch(const device_view *x, int groups)
{
    return 2 * step_groupnorm_moments(x, groups) + step_groupnorm_scratch(x, groups);
}

int step_prepare_back(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    size_t c = (size_t)y->c;
    switch (s->op) {
    case OP_conv_back:
    case OP_linear_back:
        TRY(prepare_product(t, d, x, y));
        break;
    case OP_batchnorm_back:
        TRY(step_upload(t, d, s->w, c * sizeof(float), &t->w));
        TRY(step_upload(t, d, s->b, c * sizeof(float), &t->b));
        break;
    case OP_groupnorm_back:
    case OP_layernorm_back:
        TRY(step_upload(t, d, s->w, c * sizeof(float), &t->w));
        if (s->op == OP_groupnorm_back) t->scratch = groupnorm_scratch(y, s->groups);
        break;
    case OP_attention_back:
        TRY(step_attention_back_prepare(t, d));
        break;
    case OP_performer_back:
        TRY(step_performer_back_prepare(t, d, x));
        break;
    default:
        TRY(step_prepare_probe(t, d, x, y));
        break;
    }
done:
    return rc;
}

int step_converts_back(graph_op op)
{
    switch (op) {
    case OP_gap_back:
    case OP_token_back:
    case OP_slice_back:
    case OP_embed_back:
    case OP_sum:
    case OP_gate_back:
    case OP_gram:
    case OP_maxpool_back:
    case OP_avgpool_back:
        return 1;
    default:
        return 0;
    }
}

/* ---- running ----------------------------------------------------------------------------------- */

static int run_slope(const device_plan *d, graph_op gate, const device_view *x, const device_view *at,
                     const device_view *residual, int after, const device_view *y)
{
    static const int slopes[OP_COUNT] = {[OP_relu_back] = KA_RELU,
                                         [OP_relu6_back] = KA_RELU6,
                                         [OP_gelu_back] = KA_GELU,
                                         [OP_silu_back] = KA_SILU,
                                         [OP_sigmoid_back] = KA_SIGMOID};
    op_args a = step_args(x, y);
    if (at != NULL) {
        a.act = slopes[gate];
        a.x[1] = at->p;
    }
    if (residual != NULL) a.x[2] = residual->p;
    if (after) a.flags |= KF_AFTER;
    return device_run(d->be, KERNEL_slope_back, &a);
}

int step_end_back(const device_step *t, const device_plan *d, const device_view *y)
{
    const plan_step *s = t->s;
    device_view r, at;
    if (s->residual >= 0) r = device_view_of(d, s->residual);
    if (s->gate != OP_COUNT) at = device_view_of(d, s->gate_x);
    if (s->residual < 0 && s->gate == OP_COUNT) return 0;
    return run_slope(d, s->gate, y, s->gate != OP_COUNT ? &at : NULL, s->residual >= 0 ? &r : NULL, s->after, y);
}

/* Moments of x again, sums of the gradient, then the gradient itself. */
static int run_groupnorm(const device_step *t, const device_plan *d, const device_view *x, const device_view *z,
                         const device_view *y)
{
    int rc = 0;
    float *moments = d->workspace;
    op_args a = step_args(z, y);
    a.groups = t->s->groups;
    a.eps = t->s->v->eps;
    a.y = (char *)d->workspace + 2 * step_groupnorm_moments(z, a.groups);
    a.y_type = ELEMENT_F32;
    TRY(device_run(d->be, KERNEL_groupnorm_sum_fwd, &a));
    a.x[0] = a.y;
    a.x_type = ELEMENT_F32;
    a.y = moments;
    TRY(device_run(d->be, KERNEL_groupnorm_join_fwd, &a));
    a = step_args(x, y);
    a.x[1] = z->p;
    a.x[2] = t->w;
    a.x[3] = moments;
    a.groups = t->s->groups;
    a.y = moments + 2 * (size_t)z->n * (size_t)a.groups;
    a.y_type = ELEMENT_F32;
    TRY(device_run(d->be, KERNEL_groupnorm_back_sum, &a));
    a.y = y->p;
    a.y_type = (int)y->type;
    TRY(device_run(d->be, KERNEL_groupnorm_back, &a));
done:
    return rc;
}

/* Rows of `width` elements from `from` of rows of x, to `to` of rows of y, whose other elements are zero. */
static int run_place(const device_plan *d, const device_view *x, const device_view *y, int rows, int width,
                     int from, int to)
{
    int rc = 0;
    size_t all = (size_t)x->h * (size_t)x->w * (size_t)x->c, into = (size_t)y->h * (size_t)y->w * (size_t)y->c;
    size_t per = (size_t)(rows / x->n);
    op_args a = step_args(x, y);
    a.n = rows;
    a.h = a.w = 1;
    a.c = width;
    a.x_c = (int)(all / per);
    a.x_at = from;
    a.y_c = (int)(into / per);
    a.y_at = to;
    if (a.c < a.y_c) TRY(memory_clear(d->be, y->p, bytes_of(y)));
    TRY(device_run(d->be, KERNEL_copy_fwd, &a));
done:
    return rc;
}

static int run_norm(const device_step *t, const device_plan *d, const device_view *x, const device_view *z,
                    const device_view *y)
{
    op_args a = step_args(x, y);
    a.x[1] = z->p;
    a.x[2] = t->w;
    a.eps = t->s->v->eps;
    return device_run(d->be, KERNEL_layernorm_back, &a);
}

/* One kernel, its arguments from the node. */
static int run_kernel(const device_step *t, const device_plan *d, const device_view *x, const device_view *z,
                      const device_view *y)
{
    static const int kernels[OP_COUNT] = {[OP_maxpool_back] = KERNEL_maxpool_back,
                                          [OP_avgpool_back] = KERNEL_avgpool_back,
                                          [OP_gap_back] = KERNEL_gap_back,
                                          [OP_merge_back] = KERNEL_merge_back,
                                          [OP_unfold_back] = KERNEL_unfold_back,
                                          [OP_shortcut_a_back] = KERNEL_shortcut_a_back};
    op_args a = gather_args(t->s, x, y);
    if (z != NULL) a.x[1] = z->p;
    if (t->s->op == OP_shortcut_a_back) {
        a.x_c = x->c;
        a.x_at = (x->c - y->c) / 2;
    }
    return device_run(d->be, kernels[t->s->op], &a);
}

static int run_gates(const device_plan *d, const device_view *x, const device_view *z, const device_view *y)
{
    op_args a = step_args(x, y);
    a.x[1] = z->p;
    return device_run(d->be, KERNEL_gate_back, &a);
}

static int run_factor(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    op_args a = step_args(x, y);
    a.x[1] = t->w;
    a.x[2] = t->b;
    return device_run(d->be, KERNEL_scale_shift_fwd, &a);
}

int step_run_back(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    const plan_step *s = t->s;
    device_view other;
    const device_view *z = NULL;
    int tokens = x->h * x->w;
    if (s->n_x > 1) {
        other = device_view_of(d, s->x[1]);
        z = &other;
    }
    switch (s->op) {
    case OP_conv_back:
    case OP_linear_back: return run_product(t, d, x, y);
    case OP_batchnorm_back: return run_factor(t, d, x, y);
    case OP_groupnorm_back: return run_groupnorm(t, d, x, z, y);
    case OP_layernorm_back: return run_norm(t, d, x, z, y);
    case OP_relu_back:
    case OP_relu6_back:
    case OP_gelu_back:
    case OP_silu_back:
    case OP_sigmoid_back: return run_slope(d, s->op, x, z, NULL, 0, y);
    case OP_slice_back: return run_place(d, x, y, x->n * tokens, x->c, 0, s->v->offset);
    case OP_token_back: return run_place(d, x, y, x->n, x->c, 0, s->v->offset * x->c);
    case OP_embed_back: return run_place(d, x, y, x->n, (tokens - 1) * x->c, x->c, 0);
    case OP_gate_back: return run_gates(d, x, z, y);
    case OP_attention_back: return step_attention_back_run(t, d, x, z, y);
    case OP_performer_back: return step_performer_back_run(t, d, x, z, y);
    case OP_maxpool_back:
    case OP_avgpool_back:
    case OP_gap_back:
    case OP_unfold_back:
    case OP_merge_back:
    case OP_shortcut_a_back: return run_kernel(t, d, x, z, y);
    default: return step_run_probe(t, d, x, y);
    }
}
