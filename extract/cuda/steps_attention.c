/* Attention steps.  All tokens: queries, keys and values are addressed where the projection left them.
 * Windows: heads are taken apart window by window first and put together again afterwards, both within the
 * workspace.  In between: one plan of cuDNN where it has one (sdpa.h), else products and a softmax kernel. */
#include "extract/cuda/steps.h"

#include "common/mem.h"
#include "kernels/performer.h"
#include "kernels/windows.h"

#include <stdlib.h>
#include <string.h>

static const size_t SCORES = (size_t)256 << 20; /* bytes of them at a time */

static size_t align(size_t bytes)
{
    return (bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
}

/* Bytes of y, a third of those of x. */
static size_t bytes_of(const device_view *y)
{
    return (size_t)y->n * (size_t)y->h * (size_t)y->w * (size_t)y->c * element_bytes(y->type);
}

/* Where things lie in the workspace: the heads of x, those of y, then scores. */
static size_t heads_of_y(const device_step *t, const device_view *y)
{
    return t->s->v->window > 0 ? align(3 * bytes_of(y)) : 0;
}

static size_t scores_at(const device_step *t, const device_view *y)
{
    return t->s->v->window > 0 ? align(3 * bytes_of(y)) + align(bytes_of(y)) : 0;
}

/* Sizes and addresses, which both ways of attention share. */
attention_shape step_attention_shape(const node *v, const device_view *y, precision p)
{
    int windows = v->window > 0 ? y->h / v->window * (y->w / v->window) : 1;
    size_t width = (size_t)y->c, tokens = (size_t)(y->h * y->w / windows),
           each = width / (size_t)v->heads;
    attention_shape a = {.sequences = y->n * windows,
                         .t = (int)tokens,
                         .heads = v->heads,
                         .d = (int)each,
                         .together = windows,
                         .scale = v->scale,
                         .type = y->type,
                         .tf32 = p == PRECISION_TF32,
                         .limit = SCORES};
    if (v->window > 0) {
        a.x = a.y =
            (attention_layout){.sequence = tokens * width, .head = tokens * each, .row = (int)each};
        a.k = (size_t)y->n * (size_t)windows * tokens * width;
    } else {
        a.x = (attention_layout){.sequence = tokens * 3 * width, .head = each, .row = 3 * y->c};
        a.y = (attention_layout){.sequence = tokens * width, .head = each, .row = y->c};
        a.k = width;
    }
    a.v = 2 * a.k;
    return a;
}

/* ---- fused ------------------------------------------------------------------------------------- */

/* Where windows are shifted, each has a bias of its own, the same in every image: an image is a sequence
 * then, and its windows are among the heads. */
void step_attention_key(const node *v, const device_view *y, precision p, sdpa_key *k)
{
    const attention_shape a = step_attention_shape(v, y, p);
    int windows = v->shift > 0 ? a.together : 1;
    memset(k, 0, sizeof *k);
    k->sequences = a.sequences / windows;
    k->heads = a.heads * windows;
    k->t = a.t;
    k->d = a.d;
    k->x.sequence = a.x.sequence * (size_t)windows;
    k->x.head = a.x.head;
    k->x.row = a.x.row;
    k->y.sequence = a.y.sequence * (size_t)windows;
    k->y.head = a.y.head;
    k->y.row = a.y.row;
    k->bias = v->window > 0;
    k->precision = a.type == ELEMENT_F32 ? PRECISION_FP32 : p;
}

/* The graph for a key; equal layers share one. */
static int graph_for(device_plan *d, const sdpa_key *key, const sdpa_graph **out)
{
    int rc = 0;
    const dnn_target target = {.handle = d->be->dnn};
    sdpa_graph *g = NULL;
    for (size_t i = 0; i < d->n_sdpas; i++)
        if (memcmp(&d->sdpas[i]->key, key, sizeof *key) == 0) {
            *out = d->sdpas[i];
            return 0;
        }
    TRY(mem_grow(&d->sdpas, &d->sdpas_room, d->n_sdpas + 1, sizeof *d->sdpas, "network"));
    TRY(sdpa_graph_new(&g, &target, key, CONV_WORKSPACE));
    *out = d->sdpas[d->n_sdpas++] = g;
done:
    return rc;
}

/* What a score gets for its place: the relative position's bias, less 100 where the shift brought together
 * what does not belong together. */
static float bias_of(const node *v, const device_view *y, const float *table, int at, int q, int k,
                     int head)
{
    int side = v->window, across = y->w / side, y0 = at / across * side, x0 = at % across * side;
    int qy = q / side, qx = q % side, ky = k / side, kx = k % side;
    int apart = v->shift > 0 && (window_stripe(y0 + qy, y->h, side, v->shift) !=
                                     window_stripe(y0 + ky, y->h, side, v->shift) ||
                                 window_stripe(x0 + qx, y->w, side, v->shift) !=
                                     window_stripe(x0 + kx, y->w, side, v->shift));
    return window_score(0.0f, 1.0f, table[window_bias_row(qy, qx, ky, kx, side) * v->heads + head],
                        apart);
}

/* [windows,heads,t,row] of a shifted map, else [heads,t,row]; 0 beyond t. */
static int upload_bias(device_step *t, device_plan *d, const device_view *y, const sdpa_key *key)
{
    int rc = 0, row = sdpa_bias_row(key->t);
    size_t rows, count;
    float *v = NULL;
    TRY(mem_product(&rows, (size_t)key->heads, (size_t)key->t, t->s->name));
    TRY(mem_product(&count, rows, (size_t)row, t->s->name));
    TRY(mem_new(&v, count, sizeof *v, t->s->name));
    for (size_t r = 0; r < rows; r++) {
        int q = (int)(r % (size_t)key->t), heads = t->s->v->heads;
        int head = (int)(r / (size_t)key->t) % heads, at = (int)(r / (size_t)key->t) / heads;
        for (int k = 0; k < key->t; k++)
            v[r * (size_t)row + (size_t)k] = bias_of(t->s->v, y, t->s->w, at, q, k, head);
    }
    TRY(step_upload(t, d, v, count * sizeof *v, &t->w));
done:
    free(v);
    return rc;
}

/* Takes cuDNN's plan, if it has one: t->sdpa. */
static int fuse(device_step *t, device_plan *d, const device_view *y)
{
    int rc = 0;
    const sdpa_graph *g = NULL;
    sdpa_key key;
    step_attention_key(t->s->v, y, d->precision, &key);
    if (!sdpa_wanted(&key)) return 0;
    TRY(graph_for(d, &key, &g));
    if (!g->usable) goto done;
    if (key.bias) TRY(upload_bias(t, d, y, &key));
    t->sdpa = g;
    t->scratch = scores_at(t, y) + g->plan.workspace;
    d->fused++;
done:
    return rc;
}

static int run_fused(const device_step *t, const device_plan *d, const device_view *x,
                     const device_view *y)
{
    const attention_shape a = step_attention_shape(t->s->v, y, d->precision);
    char *work = d->workspace, *qkv = t->s->v->window > 0 ? work : x->p;
    size_t bytes = element_bytes(y->type);
    const sdpa_operands o = {.q = qkv,
                             .k = qkv + a.k * bytes,
                             .v = qkv + a.v * bytes,
                             .bias = t->w,
                             .scale = a.scale,
                             .y = t->s->v->window > 0 ? work + heads_of_y(t, y) : y->p,
                             .workspace = work + scores_at(t, y)};
    return sdpa_graph_run(t->sdpa, d->be->dnn, &o);
}

/* ---- products ---------------------------------------------------------------------------------- */

int step_attention_prepare(device_step *t, device_plan *d)
{
    int rc = 0;
    device_view y = device_view_of(d, t->s->y);
    const attention_shape a = step_attention_shape(t->s->v, &y, d->precision);
    d->attentions++;
    TRY(fuse(t, d, &y));
    if (t->sdpa != NULL) goto done;
    TRY(attention_new(&t->attention, &a));
    t->scratch = scores_at(t, &y) + attention_scratch(t->attention);
    if (t->s->w != NULL) TRY(step_upload(t, d, t->s->w, t->s->w_count * sizeof(float), &t->w));
done:
    return rc;
}

int step_attention_bind(device_step *t, device_plan *d)
{
    device_view x = device_view_of(d, t->s->x[0]), y = device_view_of(d, t->s->y);
    char *work = d->workspace;
    int windows = t->s->v->window > 0;
    return attention_bind(t->attention, d->be, windows ? work : x.p,
                          windows ? work + heads_of_y(t, &y) : y.p, work + scores_at(t, &y));
}

typedef struct softmax_of {
    const device_step *t;
    const device_plan *d;
    device_view y;
} softmax_of;

static int queue_softmax(void *context, const attention_part *p)
{
    const softmax_of *of = context;
    const node *v = of->t->s->v;
    op_args a = {.x = {p->scores, of->t->w},
                 .y = p->weights,
                 .x_type = ELEMENT_F32,
                 .y_type = (int)of->y.type,
                 .n = p->sequences,
                 .h = v->heads,
                 .w = p->queries,
                 .c = v->window * v->window,
                 .oh = of->y.h,
                 .ow = of->y.w,
                 .window = v->window,
                 .shift = v->shift,
                 .scale = 1};
    if (v->window == 0) a.c = of->y.h * of->y.w;
    a.x_c = a.y_c = attention_row(of->t->attention);
    return device_run(of->d->be, KERNEL_softmax_fwd, &a);
}

int step_attention_run(const device_step *t, const device_plan *d, const device_view *x,
                       const device_view *y)
{
    int rc = 0;
    const node *v = t->s->v;
    char *work = d->workspace;
    softmax_of of = {t, d, *y};
    device_view heads = *y;
    op_args a;
    if (v->window > 0) {
        heads.p = work;
        a = step_args(x, &heads);
        a.c = y->c;
        a.groups = v->heads;
        a.window = v->window;
        a.shift = v->shift;
        TRY(device_run(d->be, KERNEL_split_heads_fwd, &a));
    }
    if (t->sdpa != NULL) TRY(run_fused(t, d, x, y));
    else TRY(attention_run(t->attention, d->be, queue_softmax, &of));
    if (v->window > 0) {
        heads.p = work + heads_of_y(t, y);
        a = step_args(&heads, y);
        a.groups = v->heads;
        a.window = v->window;
        a.shift = v->shift;
        TRY(device_run(d->be, KERNEL_join_heads_fwd, &a));
    }
done:
    return rc;
}

/* ---- performer --------------------------------------------------------------------------------- */

/* Floats of an image's sums: m features with those of v and one more. */
static size_t sums_of(const device_step *t, const device_view *y)
{
    return t->s->w_count / (size_t)y->c * (size_t)(y->c + 1);
}

int step_performer_prepare(device_step *t, device_plan *d, const device_view *x,
                           const device_view *y)
{
    int rc = 0, chunks = performer_chunks(x->h * x->w);
    TRY(step_upload(t, d, t->s->w, t->s->w_count * sizeof(float), &t->w));
    t->scratch = align((size_t)x->n * sums_of(t, y) * sizeof(float)) * (size_t)(chunks + 1);
done:
    return rc;
}

int step_performer_run(const device_step *t, const device_plan *d, const device_view *x,
                       const device_view *y)
{
    int rc = 0, chunks = performer_chunks(x->h * x->w);
    float *total = d->workspace,
          *sums = total + align((size_t)x->n * sums_of(t, y) * sizeof(float)) / sizeof(float);
    op_args a = step_args(x, y);
    a.c = y->c;
    a.groups = (int)(t->s->w_count / (size_t)y->c);
    a.x[1] = t->w;
    a.y = sums;
    a.y_type = ELEMENT_F32;
    TRY(device_run(d->be, KERNEL_performer_sum_fwd, &a));
    a = (op_args){.x = {sums},
                  .y = total,
                  .n = x->n,
                  .h = chunks,
                  .w = 1,
                  .c = (int)sums_of(t, y),
                  .oh = 1,
                  .ow = 1};
    TRY(device_run(d->be, KERNEL_performer_join_fwd, &a));
    a = step_args(x, y);
    a.c = y->c;
    a.groups = (int)(t->s->w_count / (size_t)y->c);
    a.x[1] = t->w;
    a.x[2] = total;
    TRY(device_run(d->be, KERNEL_performer_out_fwd, &a));
done:
    return rc;
}
