/* How fast attention and linear layers are on this processor: one thread, processor time, the best of
 * several runs; GFLOP/s count the products only (2 x multiply-adds).
 *
 *     build/tools/attention_speed [SECONDS]      of each measurement, default 0.3
 *
 * A tool to measure with; no test runs it. */
#include "common/err.h"
#include "extract/cpu/attention.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/curves.h"
#include "extract/cpu/performer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds = 0.3;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 4095) / 4096 * 4096);
    if (p == NULL) abort();
    return p;
}

static void stop(int rc)
{
    if (rc == 0) return;
    fprintf(stderr, "attention_speed: %s\n", err_text());
    exit(1);
}

static view map(int c, int h, int w, int images, int is_bf16)
{
    view v = { .c = c, .h = h, .w = w, .ld = (size_t)c, .row = (size_t)(w * c),
               .image = (size_t)(h * w * c), .is_bf16 = is_bf16 };
    size_t n = v.image * (size_t)images + 64;
    v.p = room(n * view_bytes(&v));
    for (size_t i = 0; i < n; i++) {
        float f = (float)((i * 2654435761u >> 8) % 1000) / 500.0f - 1.0f;
        if (is_bf16) ((bf16 *)v.p)[i] = bf16_from_float(f);
        else ((float *)v.p)[i] = f;
    }
    return v;
}

/* The best time of `what`, repeated for `seconds`. */
static double best_of(void (*what)(void *), void *with)
{
    double best = INFINITY, all = 0;
    what(with);
    while (all < seconds) {
        double t = now();
        what(with);
        t = now() - t;
        if (t < best) best = t;
        all += t;
    }
    return best;
}

typedef struct job {
    conv *linear;
    attention *attention;
    performer *performer;
    view x, y;
    void *scratch;
    int n;
} job;

static void once(void *with)
{
    job *j = with;
    if (j->linear != NULL) conv_run(j->linear, &j->x, &j->y, NULL, j->n);
    else if (j->attention != NULL) attention_run(j->attention, &j->x, &j->y, j->scratch, j->n);
    else performer_run(j->performer, &j->x, &j->y, j->scratch, j->n);
}

static void report(job *j, const char *what, double flop)
{
    double t = best_of(once, j);
    printf("%-44s %9.3f ms %8.1f GFLOP/s\n", what, 1e3 * t / j->n, flop * j->n / t * 1e-9);
    conv_free(&j->linear);
    attention_free(&j->attention);
    performer_free(&j->performer);
    free(j->scratch);
    free(j->x.p);
    free(j->y.p);
}

static float *numbers(size_t n)
{
    float *w = room(n * sizeof *w);
    for (size_t i = 0; i < n; i++)
        w[i] = (float)((i * 40503u) % 1000) / 10000.0f - 0.05f;
    return w;
}

static void linear(int h, int w, int k, int out, activation act, int is_bf16, int n)
{
    char what[128];
    job j = { .x = map(k, h, w, n, is_bf16), .y = map(out, h, w, n, is_bf16), .n = n };
    plan_step s = { .op = OP_linear, .name = "linear", .kernel = 1, .stride = 1, .groups = 1, .act = act };
    s.w = numbers((size_t)k * (size_t)out);
    s.b = numbers((size_t)out);
    stop(conv_new(&j.linear, &s, &j.x, &j.y, NULL));
    free(s.w);
    free(s.b);
    snprintf(what, sizeof what, "%s linear %dx%d x %d -> %d, %d images%s", is_bf16 ? "bf16" : "f32 ", h, w,
             k, out, n, act == ACT_GELU ? ", gelu" : "");
    report(&j, what, 2.0 * h * w * k * out);
}

static void attend(int heads, int d, int h, int w, int window, int shift, int is_bf16)
{
    char what[128];
    double t = h * w, keys = window > 0 ? window * window : t;
    job j = { .x = map(3 * heads * d, h, w, 1, is_bf16), .y = map(heads * d, h, w, 1, is_bf16), .n = 1 };
    node v = { .op = OP_attention, .heads = heads, .scale = 1.0f / sqrtf((float)d), .window = window,
               .shift = shift };
    plan_step s = { .op = OP_attention, .name = "attention", .v = &v };
    if (window > 0) s.w = numbers((size_t)((2 * window - 1) * (2 * window - 1) * heads));
    stop(attention_new(&j.attention, &s, &j.x, &j.y));
    free(s.w);
    j.scratch = room(attention_scratch(j.attention));
    snprintf(what, sizeof what, "%s attention %d tokens, %d x %d, window %d, shift %d",
             is_bf16 ? "bf16" : "f32 ", h * w, heads, d, window, shift);
    report(&j, what, 4.0 * t * keys * heads * d);
}

static void perform(int h, int m, int is_bf16)
{
    char what[128];
    job j = { .x = map(192, h, h, 1, is_bf16), .y = map(64, h, h, 1, is_bf16), .n = 1 };
    node v = { .op = OP_performer };
    plan_step s = { .op = OP_performer, .name = "performer", .v = &v, .w_count = (size_t)m * 64 };
    s.w = numbers(s.w_count);
    stop(performer_new(&j.performer, &s, &j.x, &j.y));
    free(s.w);
    j.scratch = room(performer_scratch(j.performer));
    snprintf(what, sizeof what, "%s performer %d tokens", is_bf16 ? "bf16" : "f32 ", h * h);
    report(&j, what, 2.0 * h * h * m * 64 * 4);
}

typedef struct line {
    activation act;
    float v[4096], from[4096];
} line;

static void bend(void *with)
{
    line *l = with;
    for (int i = 0; i < 64; i++) {
        memcpy(l->v, l->from, sizeof l->v);
        curve_apply(l->act, l->v, 4096);
    }
}

static void curve(activation act, const char *name)
{
    line l = { .act = act };
    for (int i = 0; i < 4096; i++)
        l.from[i] = (float)(i - 2048) / 400.0f;
    printf("%-44s %9.3f ns each\n", name, best_of(bend, &l) / (64 * 4096) * 1e9);
}

int main(int argc, char **argv)
{
    if (argc > 1) seconds = atof(argv[1]);
    if (getenv("ONLY_SWIN")) { attend(4, 32, 56, 56, 7, 3, 0); return 0; }
    for (int b = 0; b < 2; b++) {
        if (b == 1 && conv_kernel_bf16() == NULL) break;
        linear(197, 1, 768, 2304, ACT_NONE, b, 2);
        linear(197, 1, 768, 768, ACT_NONE, b, 2);
        linear(197, 1, 768, 3072, ACT_NONE, b, 2);
        linear(197, 1, 768, 3072, ACT_GELU, b, 2);
        linear(197, 1, 3072, 768, ACT_NONE, b, 2);
        linear(577, 1, 768, 3072, ACT_NONE, b, 2);
        linear(577, 1, 3072, 768, ACT_NONE, b, 2);
        linear(197, 1, 192, 768, ACT_NONE, b, 2);
        linear(56, 56, 147, 192, ACT_NONE, b, 2);
        linear(56, 56, 128, 512, ACT_NONE, b, 2);
        linear(14, 14, 512, 2048, ACT_NONE, b, 2);
        linear(7, 7, 1024, 4096, ACT_NONE, b, 2);
        linear(7, 7, 4096, 1024, ACT_NONE, b, 2);
        attend(12, 64, 197, 1, 0, 0, b);
        attend(12, 64, 577, 1, 0, 0, b);
        attend(3, 64, 197, 1, 0, 0, b);
        attend(1, 64, 3136, 1, 0, 0, b);
        attend(1, 64, 784, 1, 0, 0, b);
        attend(4, 32, 56, 56, 7, 0, b);
        attend(4, 32, 56, 56, 7, 3, b);
        attend(16, 32, 14, 14, 7, 3, b);
        attend(32, 32, 7, 7, 7, 0, b);
        perform(56, 32, b);
    }
    curve(ACT_GELU, "gelu");
    curve(ACT_SILU, "silu");
    curve(ACT_SIGMOID, "sigmoid");
    return 0;
}
