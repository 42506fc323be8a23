/* Networks of a few nodes with random weights: every backend configuration against the reference. */
#ifndef OUTPOST_TESTS_TINY_NET_H
#define OUTPOST_TESTS_TINY_NET_H

#include "common/err.h"
#include "extract/backend.h"
#include "extract/cpu/conv.h"
#include "tests/unit/build_files.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

enum { TINY_IMAGES = 3, TINY_OUTPUTS = 2 };

typedef struct tiny_case {
    const char *name;
    int (*build)(graph *g, int x); /* from the input to the node that is looked at */
    int c, h, w;                   /* input */
    int steps;       /* roundings to bf16 between input and output: the tolerance of bf16; -1: none, where a
                        rounding turns a mask over */
    float offset;    /* added to inputs in [-1,1) */
    float nan_share; /* of the inputs */
} tiny_case;

/* ---- random numbers, the same on every machine ---- */

static uint64_t tiny_state;

static UNUSED double tiny_uniform(void) /* [-1,1) */
{
    tiny_state ^= tiny_state << 13;
    tiny_state ^= tiny_state >> 7;
    tiny_state ^= tiny_state << 17;
    return (double)(tiny_state >> 11) / 4503599627370496.0 - 1;
}

/* With no more digits than a bf16 has, so that precisions start from the same numbers. */
static UNUSED float tiny_short(double v)
{
    return bf16_to_float(bf16_from_float((float)v));
}

/* ---- weights ---- */

static int tiny_ends(const char *s, const char *tail)
{
    size_t n = strlen(s), t = strlen(tail);
    return n >= t && strcmp(s + n - t, tail) == 0;
}

static float tiny_weight(const param *p)
{
    double u = tiny_uniform(), fan_in = 1;
    for (int k = 1; k < p->rank; k++)
        fan_in *= (double)p->dim[k];
    if (tiny_ends(p->name, "running_var")) return tiny_short(1 + 0.5 * u);
    if (p->rank == 1) return tiny_short(tiny_ends(p->name, "weight") ? 1 + 0.5 * u : 0.5 * u);
    if (p->rank == 3) return tiny_short(u); /* positions */
    return tiny_short(u * sqrt(3 / fan_in));
}

/* What probes bring or derive is in no file. */
static UNUSED int tiny_is_stored(const param *p)
{
    return p->given == NULL && p->base < 0;
}

/* A safetensors file in memory. */
static UNUSED const char *tiny_weights(const graph *g)
{
    buffer text = { 0 }, all = { 0 };
    char line[300];
    size_t at = 0;
    const char *path;
    put_text(&text, "{");
    for (size_t i = 0; i < graph_params(g); i++) {
        const param *p = graph_param(g, (int)i);
        if (!tiny_is_stored(p)) continue;
        snprintf(line, sizeof line, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", at > 0 ? "," : "",
                 p->name);
        put_text(&text, line);
        for (int k = 0; k < p->rank; k++) {
            snprintf(line, sizeof line, "%s%zu", k > 0 ? "," : "", p->dim[k]);
            put_text(&text, line);
        }
        snprintf(line, sizeof line, "],\"data_offsets\":[%zu,%zu]}", at, at + 4 * p->count);
        put_text(&text, line);
        at += 4 * p->count;
    }
    put_text(&text, "}");
    while (text.n % 8 != 0)
        put_text(&text, " ");
    put_number(&all, text.n, 8);
    put(&all, text.v, text.n);
    for (size_t i = 0; i < graph_params(g); i++)
        for (size_t k = 0; tiny_is_stored(graph_param(g, (int)i)) && k < graph_param(g, (int)i)->count; k++) {
            float v = tiny_weight(graph_param(g, (int)i));
            put(&all, &v, sizeof v);
        }
    path = temp_file(all.v, all.n);
    clear(&text);
    clear(&all);
    return path;
}

/* ---- running ---- */

typedef struct tiny_net {
    graph *g;
    weights *w;
    plan_request requests[TINY_OUTPUTS];
    size_t n_requests, count[TINY_OUTPUTS];
    float *input;
    size_t image; /* floats of one */
} tiny_net;

static UNUSED void tiny_must(int rc, const char *what)
{
    if (rc < 0) fail_msg("%s: %s", what, err_text());
}

/* Alone, or between convolutions that want a border around its input and its output. */
static UNUSED void tiny_open(tiny_net *t, const tiny_case *c, int between)
{
    static const model stub = { .name = "tiny", .layouts = "tiny", .classifier = "fc" };
    int x, y;
    memset(t, 0, sizeof *t);
    tiny_state = 88172645463325252u;
    tiny_must(graph_new(&t->g), c->name);
    x = g_input(t->g, c->c, c->h, c->w);
    y = c->build(t->g, x);
    if (between) {
        y = g_conv_bias(t->g, y, 5, 3, 1, 1, "after");
        t->requests[t->n_requests++] = (plan_request){ "y", y, REDUCE_NONE };
        x = g_conv_bias(t->g, x, 3, 3, 1, 1, "beside");
        t->requests[t->n_requests++] = (plan_request){ "x", x, REDUCE_NONE };
    } else {
        t->requests[t->n_requests++] = (plan_request){ "y", y, REDUCE_NONE };
    }
    g_logits(t->g, y);
    tiny_must(graph_check(t->g), c->name);
    tiny_must(weights_open(&t->w, tiny_weights(t->g)), c->name);
    tiny_must(weights_bind(t->w, &stub, t->g), c->name);
    t->image = (size_t)(c->c * c->h * c->w);
    t->input = malloc(TINY_IMAGES * t->image * sizeof *t->input);
    for (size_t i = 0; i < TINY_IMAGES * t->image; i++) {
        t->input[i] = tiny_short((double)c->offset + tiny_uniform());
        if (fabs(tiny_uniform()) < (double)c->nan_share) t->input[i] = NAN;
    }
}

static UNUSED void tiny_close(tiny_net *t)
{
    free(t->input);
    weights_close(&t->w);
    graph_free(&t->g);
}

/* Fills the memory of a network with what must not matter: a batch of NaN. */
static UNUSED void tiny_poison(const tiny_net *t, const backend_def *b, void *net, size_t batch,
                               float *const out[TINY_OUTPUTS], const char *what)
{
    float *x = malloc(batch * t->image * sizeof *x);
    for (size_t i = 0; i < batch * t->image; i++)
        x[i] = NAN;
    tiny_must(b->forward(net, &(batch_input){ .values = x }, batch, out), what);
    free(x);
}

/* All images in batches of `batch`; out[k] is the caller's to free. */
static UNUSED void tiny_run(tiny_net *t, const backend_def *b, precision p, size_t batch, int threads,
                            float *out[TINY_OUTPUTS], const char *what)
{
    static const prep plain = { .std = { 1, 1, 1 }, .out_h = 1, .out_w = 1 };
    const backend_options o = { .precision = p, .threads = threads, .batch = batch, .prep = &plain };
    plan *made = NULL;
    void *net = NULL;
    tiny_must(plan_build(&made, t->g, t->w, t->requests, t->n_requests, b->wants_dense(p)), what);
    tiny_must(b->open(&net, made, &o), what);
    for (size_t k = 0; k < t->n_requests; k++) {
        t->count[k] = made->outputs[k].count;
        out[k] = malloc(TINY_IMAGES * t->count[k] * sizeof **out);
    }
    tiny_poison(t, b, net, batch, out, what);
    for (size_t i = 0; i < TINY_IMAGES; i += batch) {
        size_t n = TINY_IMAGES - i < batch ? TINY_IMAGES - i : batch;
        float *at[TINY_OUTPUTS] = { 0 };
        for (size_t k = 0; k < t->n_requests; k++)
            at[k] = out[k] + i * t->count[k];
        tiny_must(b->forward(net, &(batch_input){ .values = t->input + i * t->image }, n, at), what);
    }
    b->close(&net);
    plan_free(&made);
}

static UNUSED void tiny_free(float *out[TINY_OUTPUTS])
{
    for (int k = 0; k < TINY_OUTPUTS; k++) {
        free(out[k]);
        out[k] = NULL;
    }
}

/* ---- comparing ---- */

/* Largest |a - b| / (|b| + rms of b); a NaN on one side only is infinitely far. */
static UNUSED double tiny_distance(const float *a, const float *b, size_t n)
{
    double squares = 0, rms, worst = 0;
    size_t finite = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(b[i])) {
            squares += (double)b[i] * (double)b[i];
            finite++;
        }
    rms = sqrt(squares / (double)(finite > 0 ? finite : 1)) + 1e-30;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)a[i] - (double)b[i]) / (fabs((double)b[i]) + rms);
        if (isnan(a[i]) != isnan(b[i])) return INFINITY;
        if (off > worst) worst = off;
    }
    return worst;
}

typedef struct tiny_way { /* to run a network */
    const char *name, *cpu; /* OUTPOST_CPU */
    precision p;
    size_t batch;
    int threads;
} tiny_way;

static const tiny_way tiny_ways[] = {
    { "f32, one by one", NULL, PRECISION_FP32, 1, 1 },
    { "f32, three at once", NULL, PRECISION_FP32, 3, 1 },
    { "f32, two threads", NULL, PRECISION_FP32, 3, 2 },
    { "f32 base", "base", PRECISION_FP32, 3, 1 },
    { "f32 avx2", "avx2", PRECISION_FP32, 3, 1 },
    { "f32 oneDNN", "onednn", PRECISION_FP32, 3, 1 },
    { "bf16", NULL, PRECISION_BF16, 3, 1 },
    { "bf16, one by one", NULL, PRECISION_BF16, 1, 1 },
    { "bf16 oneDNN", "onednn", PRECISION_BF16, 3, 1 },
};

/* f32: a few roundings of sums of at most some hundred terms.  bf16: half a unit of 2^-7 for every map
 * that is written between, relative to |y| + rms, twice that for what it grows in the ops behind. */
static UNUSED double tiny_tolerance(const tiny_way *v, const tiny_case *c, int between)
{
    if (v->p == PRECISION_FP32) return c->offset != 0 || c->steps > 20 ? 1e-5 : 3e-6;
    if (c->steps < 0) return INFINITY;
    return (c->steps + between > 0 ? c->steps + between : 1e-4) * 0x1p-7;
}

typedef struct tiny_test { /* one network on its ways */
    const tiny_case *c;
    int between;
    tiny_net net;
    float *want[TINY_OUTPUTS], *first[TINY_OUTPUTS]; /* of the reference, of the first way */
    const char *first_rounding;
    double worst[2]; /* share of the tolerance, f32 and bf16 */
} tiny_test;

/* Keeps what comes first; the rest of the batch, the thread, another processor that rounds alike change
 * no bit of it. */
static UNUSED void tiny_same_bits(tiny_test *t, float *got[TINY_OUTPUTS], const char *rounding,
                                  const char *what)
{
    for (size_t i = 0; i < t->net.n_requests; i++)
        if (t->first[i] == NULL) {
            t->first[i] = got[i];
            t->first_rounding = rounding;
            got[i] = NULL;
        } else if (rounding != NULL && strcmp(rounding, t->first_rounding) == 0 &&
                   memcmp(t->first[i], got[i],
                          TINY_IMAGES * t->net.count[i] * sizeof(float)) != 0) {
            fail_msg("%s: %s has not the bits of one by one", what, t->net.requests[i].name);
        }
}

static UNUSED void tiny_go(tiny_test *t, const tiny_way *v)
{
    int is_bf16 = v->p == PRECISION_BF16;
    const char *rounding = NULL; /* of our own kernels in f32 */
    float *got[TINY_OUTPUTS] = { 0 };
    char what[200];
    if (is_bf16 && conv_kernel_bf16() == NULL) return;
    snprintf(what, sizeof what, "%s%s, %s", t->c->name, t->between ? " between convolutions" : "",
             v->name);
    if (v->cpu != NULL) setenv("OUTPOST_CPU", v->cpu, 1);
    tiny_run(&t->net, &backend_cpu, v->p, v->batch, v->threads, got, what);
    if (!is_bf16 && !(backend_cpu.wants_dense(v->p) & PLAN_DENSE)) rounding = conv_kernel_f32()->rounding;
    unsetenv("OUTPOST_CPU");
    for (size_t i = 0; i < t->net.n_requests; i++) {
        double allowed = tiny_tolerance(v, t->c, t->between);
        double off = tiny_distance(got[i], t->want[i], TINY_IMAGES * t->net.count[i]);
        if (off > allowed)
            fail_msg("%s: %s is %.2e off, %.0e allowed", what, t->net.requests[i].name, off, allowed);
        t->worst[is_bf16] = fmax(t->worst[is_bf16], off / allowed);
    }
    tiny_same_bits(t, got, rounding, what);
    tiny_free(got);
}

static UNUSED void tiny_compare(const tiny_case *c, int between, double worst[2])
{
    tiny_test t = { .c = c, .between = between };
    tiny_open(&t.net, c, between);
    tiny_run(&t.net, &backend_ref, PRECISION_FP32, 3, 1, t.want, c->name);
    for (size_t k = 0; k < sizeof tiny_ways / sizeof *tiny_ways; k++)
        tiny_go(&t, &tiny_ways[k]);
    for (int i = 0; i < 2; i++)
        worst[i] = fmax(worst[i], t.worst[i]);
    tiny_free(t.want);
    tiny_free(t.first);
    tiny_close(&t.net);
}

static UNUSED void tiny_compare_all(const tiny_case *cases, size_t n)
{
    double worst[2] = { 0, 0 };
    for (size_t i = 0; i < n; i++)
        for (int between = 0; between < 2; between++)
            tiny_compare(&cases[i], between, worst);
    print_message("# %zu cases: %.0f%% of the f32 tolerance used, %.0f%% of the bf16 one\n", n,
                  100 * worst[0], 100 * worst[1]);
}

#endif
