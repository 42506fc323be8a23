/* The CPU backend: steps of a plan over NHWC arenas, one arena per worker thread; with -p bf16 maps
 * are bf16, vectors (pooled features, logits) and all sums stay f32.
 * Work is split over images, MICRO at a time; inside an image nothing waits for another thread. */
#include "extract/backend.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/conv_dnnl.h"
#include "extract/cpu/depthwise.h"
#include "extract/cpu/maps.h"
#include "extract/cpu/pool.h"
#include "common/err.h"
#include "common/mem.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MICRO_DEFAULT = 2 }; /* images of one pass: weights are read once for all of them */

typedef struct cpu_step {
    const plan_step *s;
    conv *conv;        /* dense convolution and linear */
    depthwise *each;   /* depth-wise convolution */
    conv_dnnl *dnnl;   /* any convolution of a network that runs through oneDNN */
    float *w, *b;      /* scale and shift [c] */
} cpu_step;

typedef struct network {
    const plan *p;
    cpu_step *steps;
    float table[3][256];
    pool *threads;
    int n_threads;
    size_t micro;
    size_t element;    /* bytes that every arena element gets: those of the widest */
    char **arena;      /* [threads] micro images each */
    float **sum;       /* [threads] scratch of one line of channels */
    char **scratch;    /* [threads] of oneDNN */
    int is_bf16, uses_dnnl;
    int *status;       /* [threads] first error of a worker in this batch */
    size_t image_bytes;
    /* the batch under way */
    const batch_input *in;
    size_t n;
    float *const *out;
} network;

/* ---- preparation -------------------------------------------------------------------------------- */

static view view_of(const network *net, char *arena, int tensor)
{
    const plan_tensor *t = &net->p->tensors[tensor];
    const plan_tensor *r = &net->p->tensors[t->root];
    view v = { .c = t->s.c, .h = t->s.h, .w = t->s.w, .halo = r->halo, .ld = (size_t)r->s.c };
    v.row = (size_t)(r->s.w + 2 * r->halo) * v.ld;
    v.image = v.row * (size_t)(r->s.h + 2 * r->halo);
    v.is_bf16 = net->is_bf16 && r->s.h * r->s.w > 1;
    v.p = arena + r->at * net->micro * net->element +
          ((size_t)r->halo * (v.row + v.ld) + (size_t)t->channel) * view_bytes(&v);
    return v;
}

static int copy_floats(float **out, const float *v, size_t n, const char *what)
{
    int rc = mem_new_aligned(out, n, sizeof **out, what);
    if (rc == 0) memcpy(*out, v, n * sizeof **out);
    return rc;
}

static int prepare(network *net, cpu_step *c)
{
    int rc = 0;
    const plan_step *s = c->s;
    view x, y = view_of(net, net->arena[0], s->y);
    if (s->n_x > 0) x = view_of(net, net->arena[0], s->x[0]);
    switch (s->op) {
    case OP_conv:
        if (net->uses_dnnl) {
            TRY(conv_dnnl_new(&c->dnnl, s, &x, &y, (int)net->micro));
            break;
        }
        if (s->groups == y.c && y.c == x.c && s->groups > 1) {
            TRY(depthwise_new(&c->each, s, &x));
            break;
        }
        CHECK(s->groups == 1, ERR_INTERNAL, "%s: %d groups", s->name, s->groups);
        TRY(conv_new(&c->conv, s, &x, &y));
        break;
    case OP_linear: TRY(conv_new(&c->conv, s, &x, &y)); break;
    case OP_batchnorm:
        TRY(copy_floats(&c->w, s->w, (size_t)y.c, s->name));
        TRY(copy_floats(&c->b, s->b, (size_t)y.c, s->name));
        break;
    case OP_groupnorm: case OP_layernorm: case OP_gelu: case OP_silu: case OP_sigmoid:
    case OP_slice: case OP_scale: case OP_gate: case OP_pad: case OP_crop: case OP_embed:
    case OP_token: case OP_attention: case OP_performer: case OP_unfold: case OP_merge:
        CHECK(0, ERR_ENV, "%s: the cpu has no %s", s->name, graph_op_name(s->op));
        break;
    default: break;
    }
done:
    return rc;
}

static void cpu_close(void **out)
{
    network *net = *out;
    if (net == NULL) return;
    pool_free(&net->threads);
    for (size_t i = 0; net->steps != NULL && i < net->p->n_steps; i++) {
        conv_free(&net->steps[i].conv);
        depthwise_free(&net->steps[i].each);
        conv_dnnl_free(&net->steps[i].dnnl);
        free(net->steps[i].w);
        free(net->steps[i].b);
    }
    for (int i = 0; i < net->n_threads; i++) {
        if (net->arena != NULL) free(net->arena[i]);
        if (net->sum != NULL) free(net->sum[i]);
        if (net->scratch != NULL) free(net->scratch[i]);
    }
    free(net->scratch);
    free(net->status);
    free(net->steps);
    free(net->sum);
    free(net->arena);
    free(net);
    *out = NULL;
}

/* oneDNN: for bf16 where there are AMX tiles, and on request. */
static int cpu_wants_dense(precision p)
{
    const char *ask = getenv("OUTPOST_CPU");
    if (ask != NULL && strcmp(ask, "onednn") == 0) return 1;
    return p == PRECISION_BF16 && conv_dnnl_has_amx();
}

/* Room for the hungriest oneDNN primitive, per worker. */
static int make_scratch(network *net)
{
    int rc = 0;
    size_t most = 0;
    for (size_t i = 0; i < net->p->n_steps; i++)
        if (net->steps[i].dnnl != NULL && conv_dnnl_scratch(net->steps[i].dnnl) > most)
            most = conv_dnnl_scratch(net->steps[i].dnnl);
    TRY(mem_new(&net->status, (size_t)net->n_threads, sizeof *net->status, "network"));
    TRY(mem_new(&net->scratch, (size_t)net->n_threads, sizeof *net->scratch, "network"));
    for (int i = 0; i < net->n_threads; i++)
        TRY(mem_new_aligned(&net->scratch[i], most, 1, "network"));
done:
    return rc;
}

static size_t most_channels(const plan *p)
{
    size_t most = 1;
    for (size_t i = 0; i < p->n_tensors; i++)
        if ((size_t)p->tensors[i].s.c > most) most = (size_t)p->tensors[i].s.c;
    return most;
}

static int cpu_open(void **out, plan *p, const backend_options *o)
{
    int rc = 0, omp_threads = omp_get_max_threads();
    size_t bytes;
    void *made = NULL;
    network *net;
    const char *micro = getenv("OUTPOST_MICRO");
    TRY(mem_new(&made, 1, sizeof *net, "network"));
    net = made;
    net->p = p;
    net->n_threads = o->threads;
    CHECK(o->precision == PRECISION_FP32 || o->precision == PRECISION_BF16, ERR_USAGE,
          "the cpu computes in fp32 or bf16");
    net->is_bf16 = o->precision == PRECISION_BF16;
    net->element = sizeof(float);
    net->uses_dnnl = cpu_wants_dense(o->precision);
    CHECK(!net->is_bf16 || net->uses_dnnl || conv_kernel_bf16() != NULL, ERR_ENV,
          "this processor has no bf16 dot products (AVX512_BF16); use -p fp32");
    net->micro = micro != NULL && atoi(micro) > 0 ? (size_t)atoi(micro) : MICRO_DEFAULT;
    if (net->micro > o->batch) net->micro = o->batch;
    net->image_bytes = (size_t)o->prep->out_h * (size_t)o->prep->out_w * 3;
    backend_normalise_table(net->table, o->prep);
    TRY(mem_new(&net->arena, (size_t)o->threads, sizeof *net->arena, "network"));
    TRY(mem_new(&net->sum, (size_t)o->threads, sizeof *net->sum, "network"));
    TRY(mem_product(&bytes, p->arena, net->micro, "activations"));
    for (int i = 0; i < o->threads; i++) {
        TRY(mem_new_aligned(&net->arena[i], bytes, net->element, "activations"));
        memset(net->arena[i], 0, bytes * net->element); /* what a short batch leaves unset is finite */
        TRY(mem_new_aligned(&net->sum[i], most_channels(p), sizeof(float), "activations"));
    }
    TRY(mem_new(&net->steps, p->n_steps, sizeof *net->steps, "network"));
    if (net->uses_dnnl) omp_set_num_threads(1); /* primitives are made for the thread count they see */
    for (size_t i = 0; i < p->n_steps; i++) {
        net->steps[i].s = &p->steps[i];
        TRY(prepare(net, &net->steps[i]));
        free(p->steps[i].w); /* packed now; never twice in memory */
        free(p->steps[i].b);
        p->steps[i].w = p->steps[i].b = NULL;
    }
    TRY(make_scratch(net));
    TRY(pool_new(&net->threads, o->threads));
    *out = made;
    made = NULL;
done:
    omp_set_num_threads(omp_threads);
    cpu_close(&made);
    return rc;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void run_concat(const network *net, char *arena, const plan_step *s, int n)
{
    view y = view_of(net, arena, s->y);
    const plan_tensor *t = net->p->tensors;
    for (int k = 0; k < s->n_x; k++) {
        view x = view_of(net, arena, s->x[k]), to = y;
        to.c = x.c;
        if (t[s->x[k]].root != t[s->y].root) map_copy(&x, &to, n);
        y.p = (char *)y.p + (size_t)x.c * view_bytes(&y);
    }
}

/* The images from `first` on. */
static void run_input(const network *net, size_t first, const view *y, int n)
{
    size_t values = (size_t)y->c * (size_t)y->h * (size_t)y->w;
    if (net->in->rgb != NULL)
        map_normalise(net->in->rgb + first * net->image_bytes, net->image_bytes, net->table, y, n);
    else map_import(net->in->values + first * values, values, y, n);
}

static int run_step(const network *net, int worker, const cpu_step *c, size_t first, int n)
{
    const plan_step *s = c->s;
    char *arena = net->arena[worker];
    float *sum = net->sum[worker];
    view x = { 0 }, y = view_of(net, arena, s->y), r = { 0 };
    if (s->n_x > 0) x = view_of(net, arena, s->x[0]);
    if (s->residual >= 0) r = view_of(net, arena, s->residual);
    map_zero_halo(&y, n);
    switch (s->op) {
    case OP_input: run_input(net, first, &y, n); break;
    case OP_conv:
    case OP_linear:
        if (c->dnnl != NULL)
            return conv_dnnl_run(c->dnnl, &x, &y, s->residual >= 0 ? &r : NULL,
                                 net->scratch[worker]);
        if (c->conv != NULL) {
            conv_run(c->conv, &x, &y, s->residual >= 0 ? &r : NULL, n);
            break;
        }
        depthwise_run(c->each, &x, &y, s->residual >= 0 ? ACT_NONE : s->act, n);
        if (s->residual >= 0) map_add(&y, &r, s->act, &y, n);
        break;
    case OP_batchnorm: map_scale_shift(&x, c->w, c->b, s->act, &y, n); break;
    case OP_relu:
    case OP_relu6: map_activate(&x, s->act, &y, n); break;
    case OP_add:
        r = view_of(net, arena, s->x[1]);
        map_add(&x, &r, s->act, &y, n);
        break;
    case OP_maxpool: map_maxpool(&x, s->kernel, s->stride, s->pad, &y, n); break;
    case OP_avgpool: map_avgpool(&x, s->kernel, s->stride, sum, &y, n); break;
    case OP_gap: map_gap(&x, sum, &y, n); break;
    case OP_concat: run_concat(net, arena, s, n); break;
    case OP_shortcut_a: map_shortcut_a(&x, &y, n); break;
    default: break;
    }
    return 0;
}

static void run_micro(void *context, int worker, size_t task)
{
    network *net = context;
    size_t first = task * net->micro;
    size_t n = net->n - first < net->micro ? net->n - first : net->micro;
    if (net->uses_dnnl) omp_set_num_threads(1); /* this thread's own setting */
    for (size_t i = 0; i < net->p->n_steps && net->status[worker] == 0; i++)
        net->status[worker] = run_step(net, worker, &net->steps[i], first, (int)n);
    for (size_t k = 0; k < net->p->n_outputs; k++) {
        const plan_output *o = &net->p->outputs[k];
        view v = view_of(net, net->arena[worker], o->tensor);
        for (size_t i = 0; i < n; i++)
            map_export(&v, (int)i, o->reduce, net->out[k] + (first + i) * o->count);
    }
}

static int cpu_forward(void *n, const batch_input *in, size_t images, float *const *out)
{
    network *net = n;
    net->in = in;
    net->n = images;
    net->out = out;
    memset(net->status, 0, (size_t)net->n_threads * sizeof *net->status);
    pool_run(net->threads, (images + net->micro - 1) / net->micro, run_micro, net);
    for (int i = 0; i < net->n_threads; i++)
        if (net->status[i] < 0) /* a helper's words stayed in its thread */
            return err_set(net->status[i], "a convolution failed in worker %d", i);
    return 0;
}

static void cpu_describe(const void *n, char *text, size_t room)
{
    const network *net = n;
    if (net->uses_dnnl) snprintf(text, room, "cpu onednn %s", net->is_bf16 ? "bf16" : "f32");
    else snprintf(text, room, "cpu %s", (net->is_bf16 ? conv_kernel_bf16() : conv_kernel_f32())->rounding);
}

static size_t cpu_memory(const void *n)
{
    const network *net = n;
    return (size_t)net->n_threads * net->p->arena * net->micro * net->element;
}

const backend_def backend_cpu = { "cpu", cpu_wants_dense, cpu_open, cpu_forward, cpu_describe, cpu_memory,
                                  cpu_close };
