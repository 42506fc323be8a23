/* Attention steps.  All tokens: the products address queries, keys and values where the projection left
 * them.  Windows: heads are taken apart window by window first and put together again afterwards, both
 * within the workspace. */
#include "extract/cuda/steps.h"

#include "kernels/performer.h"

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

int step_attention_prepare(device_step *t, device_plan *d, const device_view *x)
{
    int rc = 0;
    const node *v = t->s->v;
    device_view y = device_view_of(d, t->s->y);
    int windows = v->window > 0 ? y.h / v->window * (y.w / v->window) : 1;
    size_t width = (size_t)y.c, tokens = (size_t)(y.h * y.w / windows),
           each = width / (size_t)v->heads;
    attention_shape a = {.sequences = y.n * windows,
                         .t = (int)tokens,
                         .heads = v->heads,
                         .d = (int)each,
                         .together = windows,
                         .scale = v->scale,
                         .type = x->type,
                         .tf32 = d->precision == PRECISION_TF32,
                         .limit = SCORES};
    if (v->window > 0) {
        a.x = a.y =
            (attention_layout){.sequence = tokens * width, .head = tokens * each, .row = (int)each};
        a.k = (size_t)y.n * (size_t)windows * tokens * width;
    } else {
        a.x = (attention_layout){.sequence = tokens * 3 * width, .head = each, .row = 3 * y.c};
        a.y = (attention_layout){.sequence = tokens * width, .head = each, .row = y.c};
        a.k = width;
    }
    a.v = 2 * a.k;
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
    TRY(attention_run(t->attention, d->be, queue_softmax, &of));
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
