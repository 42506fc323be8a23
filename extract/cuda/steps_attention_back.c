/* Gradients of attention.  All tokens: everything is addressed where the projection and its gradient lie.  Windows: q, k,
 * v and the gradient are taken apart window by window and head by head, and the results put together again. */
#include "extract/cuda/steps.h"

#include "kernels/performer.h"

static size_t align(size_t bytes)
{
    return (bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
}

static size_t bytes_of(const device_view *g)
{
    return (size_t)g->n * (size_t)g->h * (size_t)g->w * (size_t)g->c * element_bytes(g->type);
}

/* Where things lie in the workspace: heads of x, of g, of the result, then scores. */
typedef struct places {
    size_t g, y, scores;
} places;

static places places_of(const device_step *t, const device_view *g)
{
    places p = {0, 0, 0};
    if (t->s->v->window == 0) return p;
    p.g = align(3 * bytes_of(g));
    p.y = p.g + align(bytes_of(g));
    p.scores = p.y + align(3 * bytes_of(g));
    return p;
}

int step_attention_back_prepare(device_step *t, device_plan *d)
{
    int rc = 0;
    device_view g = device_view_of(d, t->s->x[0]);
    const attention_shape a = step_attention_shape(t->s->v, &g, d->precision);
    TRY(attention_back_new(&t->attention_back, &a));
    t->scratch = places_of(t, &g).scores + attention_back_scratch(t->attention_back);
    if (t->s->w != NULL) TRY(step_upload(t, d, t->s->w, t->s->w_count * sizeof(float), &t->w));
done:
    return rc;
}

int step_attention_back_bind(device_step *t, device_plan *d)
{
    device_view g = device_view_of(d, t->s->x[0]), x = device_view_of(d, t->s->x[1]), y = device_view_of(d, t->s->y);
    const places p = places_of(t, &g);
    char *work = d->workspace;
    int windows = t->s->v->window > 0;
    return attention_back_bind(t->attention_back, d->be, windows ? work : x.p, windows ? work + p.g : g.p,
                               windows ? work + p.y : y.p, work + p.scores);
}

typedef struct rows_of {
    const device_step *t;
    const device_plan *d;
    device_view g;
} rows_of;

static op_args row_args(const rows_of *of, const attention_part *p)
{
    const node *v = of->t->s->v;
    op_args a = {.x = {p->scores},
                 .y = p->weights,
                 .x_type = ELEMENT_F32,
                 .y_type = (int)of->g.type,
                 .n = p->sequences,
                 .h = v->heads,
                 .w = p->queries,
                 .c = p->queries};
    a.x_c = a.y_c = attention_back_row(of->t->attention_back);
    return a;
}

static int queue_softmax(void *context, const attention_part *p)
{
    const rows_of *of = context;
    op_args a = row_args(of, p);
    a.x[1] = of->t->w;
    a.oh = of->g.h;
    a.ow = of->g.w;
    a.window = of->t->s->v->window;
    a.shift = of->t->s->v->shift;
    a.scale = 1;
    return device_run(of->d->be, KERNEL_softmax_fwd, &a);
}

static int queue_back(void *context, const attention_part *p)
{
    const rows_of *of = context;
    op_args a = row_args(of, p);
    a.x[1] = p->weights;
    return device_run(of->d->be, KERNEL_softmax_back, &a);
}

/* `stacks` maps side by side in the channels of `map`, apart or together. */
static int queue_heads(const device_step *t, const device_plan *d, const device_view *map, void *heads, int stacks,
                       int together)
{
    device_view apart = *map;
    op_args a;
    apart.p = heads;
    a = together ? step_args(&apart, map) : step_args(map, &apart);
    a.c = map->c / stacks;
    a.kernel = stacks;
    a.groups = t->s->v->heads;
    a.window = t->s->v->window;
    a.shift = t->s->v->shift;
    return device_run(d->be, together ? KERNEL_join_heads_fwd : KERNEL_split_heads_fwd, &a);
}

int step_attention_back_run(const device_step *t, const device_plan *d, const device_view *g, const device_view *x,
                            const device_view *y)
{
    int rc = 0, windows = t->s->v->window > 0;
    const places p = places_of(t, g);
    char *work = d->workspace;
    rows_of of = {t, d, *g};
    const attention_back_steps steps = {queue_softmax, queue_back, &of};
    if (windows) TRY(queue_heads(t, d, x, work, 3, 0));
    if (windows) TRY(queue_heads(t, d, g, work + p.g, 1, 0));
    TRY(attention_back_run(t->attention_back, d->be, &steps));
    if (windows) TRY(queue_heads(t, d, y, work + p.y, 3, 1));
done:
    return rc;
}

/* ---- performer --------------------------------------------------------------------------------- */

/* Floats of an image's sums: m features with those of v and one more. */
static size_t sums_of(const device_step *t, const device_view *g)
{
    return t->s->w_count / (size_t)g->c * (size_t)(g->c + 1);
}

static size_t sums_bytes(const device_step *t, const device_view *g)
{
    return align((size_t)g->n * sums_of(t, g) * sizeof(float));
}

int step_performer_back_prepare(device_step *t, device_plan *d, const device_view *g)
{
    int rc = 0, chunks = performer_chunks(g->h * g->w);
    TRY(step_upload(t, d, t->s->w, t->s->w_count * sizeof(float), &t->w));
    t->scratch = sums_bytes(t, g) * (size_t)(chunks + 2);
done:
    return rc;
}

/* Sums of chunks of tokens to those of images. */
static int join_sums(const device_step *t, const device_plan *d, const device_view *g, const float *sums, float *total)
{
    const op_args a = {.x = {sums},
                       .y = total,
                       .n = g->n,
                       .h = performer_chunks(g->h * g->w),
                       .w = 1,
                       .c = (int)sums_of(t, g),
                       .oh = 1,
                       .ow = 1};
    return device_run(d->be, KERNEL_performer_join_fwd, &a);
}

int step_performer_back_run(const device_step *t, const device_plan *d, const device_view *g, const device_view *x,
                            const device_view *y)
{
    int rc = 0;
    size_t apart = sums_bytes(t, g) / sizeof(float);
    float *total = d->workspace, *change = total + apart, *sums = change + apart;
    op_args a = step_args(x, y);
    a.c = g->c;
    a.groups = (int)(t->s->w_count / (size_t)g->c);
    a.x[1] = t->w;
    a.y = sums;
    a.y_type = ELEMENT_F32;
    TRY(device_run(d->be, KERNEL_performer_sum_fwd, &a));
    TRY(join_sums(t, d, g, sums, total));
    a.x[2] = total;
    a.x[3] = g->p;
    TRY(device_run(d->be, KERNEL_performer_back_sum, &a));
    TRY(join_sums(t, d, g, sums, change));
    a.y = y->p;
    a.y_type = (int)y->type;
    TRY(device_run(d->be, KERNEL_performer_back_query, &a));
    a.x[2] = change;
    a.x[3] = NULL;
    TRY(device_run(d->be, KERNEL_performer_back_key, &a));
done:
    return rc;
}
