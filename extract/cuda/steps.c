#include "extract/cuda/steps.h"
#include "extract/cuda/tune.h"

#include "common/mem.h"
#include "kernels/groupnorm.h"

#include <stdlib.h>
#include <string.h>

/* ---- the plan's tensors on the device ---------------------------------------------------------- */

/* Three channels fill no 16 bytes: engines on tensor cores take eight.  Only convolutions can skip the
 * rest again, by weights of zero. */
static int pads_input(const device_plan *d)
{
    const plan *p = d->p;
    int tensor = -1, takers = 0;
    if (d->type == ELEMENT_F32) return 0;
    for (size_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == OP_input) tensor = p->steps[i].y;
    for (size_t i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].n_x; k++)
            if (p->steps[i].x[k] == tensor) {
                if (p->steps[i].op != OP_conv || p->steps[i].groups != 1) return 0;
                takers++;
            }
    for (size_t i = 0; i < p->n_outputs; i++)
        if (p->outputs[i].tensor == tensor) return 0;
    return takers > 0 && tensor >= 0 && p->tensors[tensor].s.c == 3 && p->tensors[tensor].s.h > 1;
}

int device_plan_init(device_plan *d, cuda_backend *be, const plan *p, precision wanted,
                     size_t batch)
{
    int rc = 0, capability = be->facts.major * 10 + be->facts.minor;
    size_t bytes;
    static const char *const names[] = {"fp32", "tf32", "bf16", "fp16"};
    *d = (device_plan){
        .be = be, .p = p, .precision = wanted, .type = element_of(wanted), .batch = batch};
    CHECK(capability >= 80 || (wanted != PRECISION_TF32 && wanted != PRECISION_BF16), ERR_USAGE,
          "-p %s needs compute capability 8.0; %s has %d.%d (fp32 and fp16 are there)",
          names[wanted], be->facts.name, be->facts.major, be->facts.minor);
    TRY(mem_product(&bytes, batch, DEVICE_UNIT * sizeof(float), "activations"));
    d->unit = (bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
    if (pads_input(d)) {
        const plan_tensor *t = &p->tensors[p->steps[0].y];
        d->input_channels = 8;
        TRY(mem_product(&bytes, batch * 8 * element_bytes(d->type), (size_t)(t->s.h * t->s.w),
                        "activations"));
        TRY(memory_alloc(be, bytes, 0, &d->input));
        TRY(memory_clear(be, d->input, bytes)); /* import writes the real channels only */
    }
done:
    return rc;
}

void device_plan_clear(device_plan *d)
{
    for (size_t i = 0; i < d->n_graphs; i++)
        conv_graph_free(&d->graphs[i]);
    free(d->graphs);
    for (size_t i = 0; i < d->n_sdpas; i++)
        sdpa_graph_free(&d->sdpas[i]);
    free(d->sdpas);
    if (d->input != NULL) memory_release(d->be, &d->input);
}

device_view device_view_of(const device_plan *d, int tensor)
{
    const plan_tensor *t = &d->p->tensors[tensor];
    device_view v = {.n = (int)d->batch,
                     .c = t->s.c,
                     .h = t->s.h,
                     .w = t->s.w,
                     .type = t->s.h * t->s.w > 1 ? d->type : ELEMENT_F32};
    if (d->input != NULL && tensor == d->p->steps[0].y) {
        v.p = d->input;
        v.c = d->input_channels;
    } else {
        v.p = (char *)d->arena + t->at / DEVICE_UNIT * d->unit;
    }
    return v;
}

/* ---- weights ----------------------------------------------------------------------------------- */

int step_upload(device_step *t, device_plan *d, const void *v, size_t bytes, void **out)
{
    int rc = 0;
    TRY(memory_alloc(d->be, bytes, 0, out));
    t->bytes += bytes;
    TRY(memory_upload(d->be, *out, v, bytes));
    TRY(device_sync(d->be)); /* v is the caller's again */
done:
    return rc;
}

/* n floats as elements of a type. */
int step_upload_as(device_step *t, device_plan *d, const float *v, size_t n, element type,
                   void **out)
{
    int rc = 0;
    uint16_t *half = NULL;
    if (type == ELEMENT_F32) return step_upload(t, d, v, n * sizeof *v, out);
    TRY(mem_new(&half, n, sizeof *half, t->s->name));
    for (size_t i = 0; i < n; i++)
        type_put(half, (int)type, i, v[i]);
    TRY(step_upload(t, d, half, n * sizeof *half, out));
done:
    free(half);
    return rc;
}

/* OIHW -> OHWI with `stored` >= i input channels, the rest zero. */
int step_upload_filters(device_step *t, device_plan *d, size_t o, size_t i, size_t stored,
                        size_t kernel, element type)
{
    int rc = 0;
    size_t area = kernel * kernel, n;
    float *v = NULL;
    TRY(mem_product(&n, o * area, stored, t->s->name));
    TRY(mem_new(&v, n, sizeof *v, t->s->name));
    for (size_t a = 0; a < o; a++)
        for (size_t k = 0; k < area; k++)
            for (size_t b = 0; b < i; b++)
                v[(a * area + k) * stored + b] = t->s->w[(a * i + b) * area + k];
    TRY(step_upload_as(t, d, v, n, type, &t->w));
done:
    free(v);
    return rc;
}

/* What an earlier step has on the device already, where this one has the same weights. */
int step_borrow(device_step *t, const device_plan *d)
{
    const device_step *like = t - (t->s - d->p->steps) + t->s->twin; /* they lie like the plan's */
    if (t->s->twin < 0) return 0;
    t->w = like->w;
    t->b = like->b;
    t->extra = like->extra;
    t->borrows = 1;
    return 1;
}

/* ---- convolutions and linear layers ------------------------------------------------------------ */

static int is_depthwise(const plan_step *s, const device_view *x, const device_view *y)
{
    return s->groups > 1 && s->groups == x->c && y->c == x->c;
}

/* The graph for a key; equal layers share one. */
int step_graph_for(device_step *t, device_plan *d, const conv_key *key)
{
    int rc = 0;
    const dnn_target target = {.handle = d->be->dnn};
    conv_graph *g = NULL;
    for (size_t i = 0; i < d->n_graphs; i++)
        if (memcmp(&d->graphs[i]->asked, key, sizeof *key) == 0) {
            t->conv = d->graphs[i];
            return 0;
        }
    TRY(mem_grow(&d->graphs, &d->graphs_room, d->n_graphs + 1, sizeof *d->graphs, "network"));
    TRY(conv_graph_new(&g, &target, key, CONV_WORKSPACE, tune_wanted() ? TUNE_CANDIDATES : 1));
    d->graphs[d->n_graphs++] = g;
    t->conv = g;
done:
    return rc;
}

static int prepare_conv(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    conv_key key;
    int filters = d->p->tensors[s->x[0]].s.c / s->groups;
    memset(&key, 0, sizeof key); /* keys are compared as bytes */
    key.n = x->n;
    key.c = x->c;
    key.h = x->h;
    key.w = x->w;
    key.k = y->c;
    key.oh = y->h;
    key.ow = y->w;
    key.kernel = s->kernel;
    key.stride = s->stride;
    key.pad = s->pad;
    key.groups = s->groups;
    key.residual = s->residual >= 0;
    key.act = s->act;
    key.precision = element_of(d->precision) == x->type ? d->precision : PRECISION_FP32;
    TRY(step_graph_for(t, d, &key));
    t->scratch = conv_graph_workspace(t->conv);
    t->stored = s->groups > 1 ? filters : x->c;
    if (step_borrow(t, d)) return 0;
    TRY(step_upload_filters(t, d, (size_t)y->c, (size_t)filters,
                       (size_t)t->stored, (size_t)s->kernel, x->type));
    TRY(step_upload_as(t, d, s->b, (size_t)y->c, x->type, &t->b));
done:
    return rc;
}

/* [n,k] -> [n,stored] with zeros from k on. */
static int upload_matrix(device_step *t, device_plan *d, size_t n, size_t k, size_t stored,
                         element type)
{
    int rc = 0;
    size_t count;
    float *v = NULL;
    if (stored == k) return step_upload_as(t, d, t->s->w, n * k, type, &t->w);
    TRY(mem_product(&count, n, stored, t->s->name));
    TRY(mem_new(&v, count, sizeof *v, t->s->name));
    for (size_t i = 0; i < n; i++)
        memcpy(v + i * stored, t->s->w + i * k, k * sizeof *v);
    TRY(step_upload_as(t, d, v, count, type, &t->w));
done:
    free(v);
    return rc;
}

/* 16-bit products take rows of eighths, the only ones that reach tensor cores: x is copied into wider rows
 * in the workspace where its own are not (the first of T2T-ViT, 147 wide). */
static int prepare_linear(device_step *t, device_plan *d, const device_view *x,
                          const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    int stored = x->type == ELEMENT_F32 ? x->c : (x->c + 7) / 8 * 8;
    const lt_shape l = {.rows = x->n * x->h * x->w,
                        .n = y->c,
                        .k = stored,
                        .type = x->type,
                        .tf32 = d->precision == PRECISION_TF32 && x->h * x->w > 1,
                        .bias = s->act == ACT_NONE || s->act == ACT_RELU, /* else with the curve */
                        .residual = s->residual >= 0,
                        .relu = s->act == ACT_RELU};
    TRY(linear_new(&t->linear, d->be, &l));
    t->stored = stored;
    if (!step_borrow(t, d)) {
        TRY(upload_matrix(t, d, (size_t)y->c, (size_t)x->c, (size_t)stored, x->type));
        TRY(step_upload_as(t, d, s->b, (size_t)y->c, x->type, &t->b));
        TRY(step_upload(t, d, s->b, (size_t)y->c * sizeof(float), &t->extra)); /* for curves */
    }
    t->scratch = LINEAR_WORKSPACE;
    if (stored == x->c) goto done;
    t->wide = (size_t)l.rows * (size_t)stored * element_bytes(x->type);
    t->wide = (t->wide + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
    t->scratch += t->wide;
done:
    return rc;
}

/* [c,1,k,k] -> [k,k,c] */
static int prepare_depthwise(device_step *t, device_plan *d, const device_view *y)
{
    int rc = 0;
    size_t c = (size_t)y->c, area = (size_t)(t->s->kernel * t->s->kernel);
    float *v = NULL;
    if (step_borrow(t, d)) return 0;
    TRY(mem_new(&v, c * area, sizeof *v, t->s->name));
    for (size_t i = 0; i < c; i++)
        for (size_t k = 0; k < area; k++)
            v[k * c + i] = t->s->w[i * area + k];
    TRY(step_upload(t, d, v, c * area * sizeof *v, &t->w));
    TRY(step_upload(t, d, t->s->b, c * sizeof *v, &t->b));
done:
    free(v);
    return rc;
}

static int prepare_product(device_step *t, device_plan *d, const device_view *x,
                           const device_view *y)
{
    int is_matrix = x->h * x->w == 1 && t->s->kernel == 1 && t->s->groups == 1;
    if (t->s->op == OP_linear || is_matrix) return prepare_linear(t, d, x, y);
    if (is_depthwise(t->s, x, y)) return prepare_depthwise(t, d, y);
    return prepare_conv(t, d, x, y);
}

/* Bytes of the groups' moments, which lie first in the workspace; those of chunks follow. */
size_t step_groupnorm_moments(const device_view *x, int groups)
{
    size_t bytes = 2 * (size_t)x->n * (size_t)groups * sizeof(float);
    return (bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
}

size_t step_groupnorm_scratch(const device_view *x, int groups)
{
    return step_groupnorm_moments(x, groups) + 2 * (size_t)x->n * (size_t)groups * sizeof(float) *
                                                   (size_t)groupnorm_chunks(x->h * x->w, x->c);
}

/* ---- preparation ------------------------------------------------------------------------------- */

static int prepare(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    size_t c = (size_t)y->c;
    switch (s->op) {
    case OP_conv:
    case OP_linear:
        TRY(prepare_product(t, d, x, y));
        break;
    case OP_batchnorm:
    case OP_scale:
    case OP_groupnorm:
    case OP_layernorm:
        TRY(step_upload(t, d, s->w, c * sizeof(float), &t->w));
        TRY(step_upload(t, d, s->b, c * sizeof(float), &t->b));
        if (s->op == OP_groupnorm) t->scratch = step_groupnorm_scratch(x, s->groups);
        break;
    case OP_embed:
        TRY(step_upload(t, d, s->w, (size_t)y->h * c * sizeof(float), &t->w));
        TRY(step_upload(t, d, s->b, c * sizeof(float), &t->b));
        break;
    case OP_attention:
        TRY(step_attention_prepare(t, d));
        break;
    case OP_performer:
        TRY(step_performer_prepare(t, d, x, y));
        break;
    default:
        if (s->op >= OP_conv_back) TRY(step_prepare_back(t, d, x, y));
        break;
    }
done:
    return rc;
}

/* Ops whose kernel converts from x's type to y's by itself. */
static int converts(graph_op op)
{
    return op == OP_input || op == OP_gap || op == OP_token || op == OP_concat || op == OP_slice ||
           step_converts_back(op);
}

int step_prepare(device_step *t, device_plan *d, const plan_step *s)
{
    int rc = 0;
    device_view y = device_view_of(d, s->y), x = s->n_x > 0 ? device_view_of(d, s->x[0]) : y;
    t->s = s;
    TRY(prepare(t, d, &x, &y));
    if (s->op == OP_input)
        t->scratch = (size_t)y.n * (size_t)y.h * (size_t)y.w * (size_t)d->p->tensors[s->y].s.c * sizeof(float); /* import */
    if (x.type != y.type && !converts(s->op)) {
        CHECK(s->residual < 0 || s->op >= OP_conv_back, ERR_INTERNAL, "%s: a sum of maps and vectors", s->name);
        t->stage = (t->scratch + DEVICE_ALIGN) / DEVICE_ALIGN * DEVICE_ALIGN;
        t->scratch =
            t->stage + (size_t)y.n * (size_t)y.c * (size_t)y.h * (size_t)y.w * sizeof(float);
    }
done:
    return rc;
}

int step_bind(device_step *t, device_plan *d)
{
    if (t->attention_back != NULL) return step_attention_back_bind(t, d);
    return t->attention != NULL ? step_attention_bind(t, d) : 0;
}

void step_clear(device_step *t, device_plan *d)
{
    linear_free(&t->linear);
    attention_free(&t->attention);
    attention_back_free(&t->attention_back);
    if (t->borrows) return;
    memory_release(d->be, &t->extra);
    memory_release(d->be, &t->w);
    memory_release(d->be, &t->b);
}
