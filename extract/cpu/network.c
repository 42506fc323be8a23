/* The CPU backend: steps of a plan over NHWC arenas, one arena per worker thread; with -p bf16 maps
 * are bf16, vectors (pooled features, logits) and all sums stay f32.
 * Work is split over images, MICRO at a time; inside an image nothing waits for another thread. */
#include "extract/backend.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/conv_dnnl.h"
#include "extract/cpu/maps.h"
#include "extract/cpu/pool.h"
#include "extract/cpu/steps.h"
#include "extract/record_run.h"
#include "common/err.h"
#include "common/mem.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MICRO_DEFAULT = 2,  /* images of one pass: weights are read once for all of them */
    LARGE = 256 << 20   /* bytes of one image's maps from which on it goes alone: gradients of large images */
};

typedef struct network {
    const plan *p;
    arena_layout l;
    cpu_step **steps;
    float table[3][256];
    pool *threads;
    int n_threads;
    char **arena;      /* [threads] micro images each */
    size_t scratch_bytes;
    char **scratch;    /* [threads] of the hungriest step */
    int *status;       /* [threads] first error of a worker in this batch */
    size_t image_bytes;
    record_decoder *decoder; /* NULL: no batches of records */
    /* the batch under way */
    const batch_input *in;
    size_t n;
    float *const *out;
} network;

/* ---- opening ------------------------------------------------------------------------------------ */

static void cpu_close(void **out)
{
    network *net = *out;
    if (net == NULL) return;
    pool_free(&net->threads);
    record_decoder_free(&net->decoder);
    for (size_t i = 0; net->steps != NULL && i < net->p->n_steps; i++)
        cpu_step_free(&net->steps[i]);
    for (int i = 0; i < net->n_threads; i++) {
        if (net->arena != NULL) free(net->arena[i]);
        if (net->scratch != NULL) free(net->scratch[i]);
    }
    free(net->scratch);
    free(net->status);
    free(net->steps);
    free(net->arena);
    free(net);
    *out = NULL;
}

/* oneDNN: for bf16 where there are AMX tiles, and on request. */
static int uses_dnnl(precision p)
{
    const char *ask = getenv("OUTPOST_CPU");
    if (ask != NULL && strcmp(ask, "onednn") == 0) return 1;
    return p == PRECISION_BF16 && conv_dnnl_has_amx();
}

static int cpu_wants_dense(precision p)
{
    return PLAN_GRADIENTS | (uses_dnnl(p) ? PLAN_DENSE : 0);
}

/* What the environment asks for, but no more images than a batch has. */
static size_t micro_of(const backend_options *o, const plan *p)
{
    const char *ask = getenv("OUTPOST_MICRO");
    size_t usual = p->arena * ARENA_ELEMENT < LARGE ? MICRO_DEFAULT : 1;
    size_t micro = ask != NULL && atoi(ask) > 0 ? (size_t)atoi(ask) : usual;
    return micro < o->batch ? micro : o->batch;
}

static int check_precision(const network *net, precision p)
{
    int rc = 0;
    CHECK(p == PRECISION_FP32 || p == PRECISION_BF16, ERR_USAGE, "the cpu computes in fp32 or bf16");
    CHECK(!net->l.is_bf16 || net->l.uses_dnnl || conv_kernel_bf16() != NULL, ERR_ENV,
          "this processor has no bf16 dot products (AVX512_BF16); use -p fp32");
done:
    return rc;
}

static int make_arenas(network *net)
{
    int rc = 0;
    size_t bytes;
    TRY(mem_new(&net->arena, (size_t)net->n_threads, sizeof *net->arena, "network"));
    TRY(mem_product(&bytes, net->p->arena, net->l.images * ARENA_ELEMENT, "activations"));
    for (int i = 0; i < net->n_threads; i++) {
        TRY(mem_new_aligned(&net->arena[i], bytes, 1, "activations"));
        memset(net->arena[i], 0, bytes); /* what a short batch leaves unset is finite */
    }
done:
    return rc;
}

/* Step i and its twins, which find their weights packed and share them; then the plan's are let go. */
static int make_twins(network *net, plan *p, size_t i)
{
    int rc = 0;
    plan_step *s = &p->steps[i];
    TRY(cpu_step_new(&net->steps[i], &net->l, s, net->arena[0], NULL));
    for (size_t k = i + 1; k < p->n_steps; k++) {
        plan_step twin = p->steps[k];
        if (twin.twin != (int)i) continue;
        twin.w = s->w;
        twin.b = s->b;
        twin.w_count = s->w_count;
        TRY(cpu_step_new(&net->steps[k], &net->l, &twin, net->arena[0], net->steps[i]));
    }
    free(s->w); /* packed now; never twice in memory */
    free(s->b);
    s->w = s->b = NULL;
done:
    return rc;
}

static int make_steps(network *net, plan *p)
{
    int rc = 0;
    TRY(mem_new(&net->steps, p->n_steps, sizeof(cpu_step *), "network"));
    for (size_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].twin < 0) TRY(make_twins(net, p, i));
    for (size_t i = 0; i < p->n_steps; i++)
        if (cpu_step_scratch(net->steps[i]) > net->scratch_bytes)
            net->scratch_bytes = cpu_step_scratch(net->steps[i]);
    TRY(mem_new(&net->status, (size_t)net->n_threads, sizeof *net->status, "network"));
    TRY(mem_new(&net->scratch, (size_t)net->n_threads, sizeof *net->scratch, "network"));
    for (int i = 0; i < net->n_threads; i++)
        TRY(mem_new_aligned(&net->scratch[i], net->scratch_bytes, 1, "network"));
done:
    return rc;
}

static int cpu_open(void **out, plan *p, const backend_options *o)
{
    int rc = 0, omp_threads = omp_get_max_threads();
    void *made = NULL;
    network *net;
    TRY(mem_new(&made, 1, sizeof *net, "network"));
    net = made;
    net->p = p;
    net->n_threads = o->threads;
    net->l = (arena_layout){ p, micro_of(o, p), o->precision == PRECISION_BF16,
                       uses_dnnl(o->precision) };
    TRY(check_precision(net, o->precision));
    net->image_bytes = (size_t)o->prep->out_h * (size_t)o->prep->out_w * 3;
    backend_normalise_table(net->table, o->prep);
    TRY(make_arenas(net));
    if (net->l.uses_dnnl) omp_set_num_threads(1); /* primitives are made for the thread count they see */
    TRY(make_steps(net, p));
    TRY(pool_new(&net->threads, o->threads));
    if (o->records) TRY(record_decoder_new(&net->decoder, o->prep, o->batch));
    *out = made;
    made = NULL;
done:
    omp_set_num_threads(omp_threads);
    cpu_close(&made);
    return rc;
}

/* ---- running ------------------------------------------------------------------------------------ */

/* The images from `first` on. */
static void run_input(const network *net, size_t first, const view *y, int n)
{
    size_t values = (size_t)y->c * (size_t)y->h * (size_t)y->w;
    if (net->in->rgb != NULL)
        map_normalise(net->in->rgb + first * net->image_bytes, net->image_bytes, net->table, y, n);
    else map_import(net->in->values + first * values, values, y, n);
}

static int run_step(const network *net, int worker, size_t i, size_t first, int n)
{
    const plan_step *s = &net->p->steps[i];
    char *arena = net->arena[worker];
    view y;
    if (s->op != OP_input) return cpu_step_run(net->steps[i], arena, net->scratch[worker], n);
    y = arena_view(&net->l, arena, s->y);
    map_zero_halo(&y, n);
    run_input(net, first, &y, n);
    return 0;
}

static void run_micro(void *context, int worker, size_t task)
{
    network *net = context;
    size_t first = task * net->l.images;
    size_t n = net->n - first < net->l.images ? net->n - first : net->l.images;
    if (net->l.uses_dnnl) omp_set_num_threads(1); /* this thread's own setting */
    for (size_t i = 0; i < net->p->n_steps && net->status[worker] == 0; i++)
        net->status[worker] = run_step(net, worker, i, first, (int)n);
    for (size_t k = 0; k < net->p->n_outputs; k++) {
        const plan_output *o = &net->p->outputs[k];
        view v = arena_view(&net->l, net->arena[worker], o->tensor);
        for (size_t i = 0; i < n; i++)
            map_export(&v, (int)i, o->reduce, o->layout, net->out[k] + (first + i) * o->count);
    }
}

static int cpu_forward(void *n, const batch_input *in, size_t images, float *const *out)
{
    network *net = n;
    batch_input decoded = { .rgb = NULL };
    if (in->records != NULL) {
        int rc = record_decode(net->decoder, in->records, in->first, images, &decoded.rgb);
        if (rc < 0) return rc;
        in = &decoded;
    }
    net->in = in;
    net->n = images;
    net->out = out;
    memset(net->status, 0, (size_t)net->n_threads * sizeof *net->status);
    pool_run(net->threads, (images + net->l.images - 1) / net->l.images, run_micro, net);
    for (int i = 0; i < net->n_threads; i++)
        if (net->status[i] < 0) /* a helper's words stayed in its thread */
            return err_set(net->status[i], "a convolution failed in worker %d", i);
    return 0;
}

static void cpu_describe(const void *n, char *text, size_t room)
{
    const network *net = n;
    if (net->l.uses_dnnl) snprintf(text, room, "cpu onednn %s", net->l.is_bf16 ? "bf16" : "f32");
    else snprintf(text, room, "cpu %s", (net->l.is_bf16 ? conv_kernel_bf16() : conv_kernel_f32())->rounding);
}

static size_t cpu_memory(const void *n)
{
    const network *net = n;
    return (size_t)net->n_threads *
           (net->p->arena * net->l.images * ARENA_ELEMENT + net->scratch_bytes);
}

const backend_def backend_cpu = { "cpu", cpu_wants_dense, cpu_open, cpu_forward, cpu_describe, cpu_memory,
                                  cpu_close, NULL, NULL, NULL, NULL, NULL };
