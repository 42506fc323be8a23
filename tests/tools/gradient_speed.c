/* How long a network's forward and its gradient at the image take on the CPU.
 *
 *     build/tools/gradient_speed NET CHECKPOINT WHAT [BATCH [IMAGES [THREADS [PRECISION]]]]
 *
 * WHAT: forward, features and logits; gradient, those and the gradient of log-sum-exp at the image; deflate:TAP, those
 * and the logits behind a tap without its largest singular component (RankFeat); steps, as gradient, with the time of
 * each step of the plan on one thread.  The last line is the one that build/bench/ab reads, as
 * `extract bench net` prints it.  A tool to measure with (make bench, section gradients; tests/bench/memory.sh); no
 * test runs it. */
#include "common/err.h"
#include "common/mem.h"
#include "extract/adjoint.h"
#include "extract/backend.h"
#include "extract/cpu/steps.h"
#include "extract/model.h"
#include "extract/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OUTPUTS = 3 };

typedef struct setup {
    const model *m;
    graph *g;
    weights *w;
    plan *p;
    void *net;
    plan_request requests[OUTPUTS];
    size_t n_requests, batch;
    prep prep;
    precision precision;
    uint8_t *rgb;
    float *out[OUTPUTS];
} setup;

static double clock_of(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ask(setup *s, const char *name, int i)
{
    s->requests[s->n_requests++] = (plan_request){ name, i, REDUCE_NONE };
}

/* RankFeat's logits. */
static int deflated(graph *g, const char *tap, int logits)
{
    int from = graph_find_tap(g, tap), to, out = -1;
    if (from < 0) return -1;
    to = g_deflate(g, from, DEFLATE_EXACT, 0, -1);
    graph_replay(g, &(replay){ .from = &from, .to = &to, .n = 1 }, &logits, 1, &out);
    return out;
}

static int make_graph(setup *s, const char *checkpoint, const char *what)
{
    int rc = 0, input = 0, logits, back;
    const char *tap = strncmp(what, "deflate:", 8) == 0 ? what + 8 : NULL;
    TRY(weights_open(&s->w, checkpoint));
    TRY(model_build(&s->g, s->m, s->m->classes));
    logits = graph_logits(s->g);
    while (graph_node(s->g, input)->op != OP_input)
        input++;
    ask(s, "features", graph_features(s->g));
    ask(s, "logits", logits);
    if (tap != NULL) {
        back = deflated(s->g, tap, logits);
        CHECK(back >= 0, ERR_USAGE, "no tap '%s'", tap);
        ask(s, "rankfeat", back);
    } else if (strcmp(what, "forward") != 0) {
        graph_backward(s->g, logits, g_cotangent(s->g, logits, COTANGENT_LOGSUMEXP, 1, 0), &input, 1, &back);
        ask(s, "gradient", back);
    }
    TRY(graph_check(s->g));
    TRY(weights_bind(s->w, s->m, s->g));
    TRY(prep_resolve(&s->prep, NULL, &s->m->prep));
    TRY(plan_build(&s->p, s->g, s->w, s->requests, s->n_requests, backend_cpu.wants_dense(s->precision)));
done:
    return rc;
}

static int make_batch(setup *s)
{
    int rc = 0;
    unsigned long seed = 1;
    size_t bytes = (size_t)s->prep.out_h * (size_t)s->prep.out_w * 3 * s->batch;
    TRY(mem_new(&s->rgb, bytes, 1, "images"));
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        s->rgb[i] = (uint8_t)(seed >> 56);
    }
    for (size_t k = 0; k < s->n_requests; k++)
        TRY(mem_new_aligned(&s->out[k], s->p->outputs[k].count * s->batch, sizeof(float), "outputs"));
done:
    return rc;
}

static int run(setup *s, size_t images, int threads)
{
    int rc = 0;
    const backend_options o = { .precision = s->precision, .threads = threads, .batch = s->batch,
                                .prep = &s->prep };
    size_t batches = (images + s->batch - 1) / s->batch;
    double cpu, wall;
    TRY(backend_cpu.open(&s->net, s->p, &o));
    TRY(make_batch(s));
    TRY(backend_cpu.forward(s->net, &(batch_input){ .rgb = s->rgb }, s->batch, s->out));
    cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    wall = clock_of(CLOCK_MONOTONIC);
    for (size_t i = 0; i < batches; i++)
        TRY(backend_cpu.forward(s->net, &(batch_input){ .rgb = s->rgb }, s->batch, s->out));
    cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = clock_of(CLOCK_MONOTONIC) - wall;
    printf("%s, %zu steps, %zu MiB of activations, %.2f ms of CPU an image\n", s->m->name, s->p->n_steps,
           backend_cpu.memory(s->net) >> 20, 1e3 * cpu / (double)(batches * s->batch));
    printf("outpost-bench cpu=%.6f wall=%.6f items=%zu\n", cpu, wall, batches * s->batch);
done:
    return rc;
}

/* ---- step by step ------------------------------------------------------------------------------- */

static void print_step(const plan_step *s, const view *x, const view *y, double seconds)
{
    printf("%8.3f ms  %-14s %-28s %5dx%dx%d -> %dx%dx%d k%d s%d g%d%s%s%s\n", 1e3 * seconds, graph_op_name(s->op),
           s->name, x->c, x->h, x->w, y->c, y->h, y->w, s->kernel, s->stride, s->groups,
           s->residual >= 0 ? " sum" : "", s->gate != OP_COUNT ? " " : "",
           s->gate != OP_COUNT ? graph_op_name(s->gate) : "");
}

static int time_steps(setup *s, int repeats)
{
    int rc = 0, n = (int)s->batch;
    const arena_layout l = { .p = s->p, .images = s->batch, .is_bf16 = s->precision == PRECISION_BF16 };
    char *arena = NULL;
    double total = 0;
    TRY(mem_new_aligned(&arena, s->p->arena * s->batch * ARENA_ELEMENT, 1, "arena"));
    memset(arena, 0, s->p->arena * s->batch * ARENA_ELEMENT);
    for (size_t i = 0; i < s->p->n_steps; i++) {
        plan_step at = s->p->steps[i];
        cpu_step *step = NULL;
        void *scratch = NULL;
        double best = 1e30;
        view x, y = arena_view(&l, arena, at.y);
        if (at.op == OP_input) continue;
        if (at.twin >= 0) {
            at.w = s->p->steps[at.twin].w;
            at.b = s->p->steps[at.twin].b;
        }
        x = arena_view(&l, arena, at.x[0]);
        TRY(cpu_step_new(&step, &l, &at, arena, NULL));
        TRY(mem_new_aligned(&scratch, cpu_step_scratch(step), 1, "scratch"));
        for (int k = 0; k < repeats; k++) {
            double t = clock_of(CLOCK_THREAD_CPUTIME_ID);
            TRY(cpu_step_run(step, arena, scratch, n));
            t = clock_of(CLOCK_THREAD_CPUTIME_ID) - t;
            best = t < best ? t : best;
        }
        print_step(&at, &x, &y, best / n);
        total += best / n;
        free(scratch);
        cpu_step_free(&step);
    }
    printf("%8.3f ms an image\n", 1e3 * total);
done:
    free(arena);
    return rc;
}

static int number(char **argv, int argc, int i, int otherwise)
{
    return argc > i ? atoi(argv[i]) : otherwise;
}

int main(int argc, char **argv)
{
    int rc = 0;
    setup s = { 0 };
    CHECK(argc >= 4, ERR_USAGE,
          "usage: gradient_speed NET CHECKPOINT forward|gradient|deflate:TAP|steps [BATCH [IMAGES [THREADS "
          "[PRECISION]]]]");
    s.m = model_find(argv[1]);
    CHECK(s.m != NULL, ERR_USAGE, "no network '%s'", argv[1]);
    s.batch = (size_t)number(argv, argc, 4, 2);
    if (argc > 7) TRY(precision_find(&s.precision, argv[7]));
    TRY(make_graph(&s, argv[2], argv[3]));
    if (strcmp(argv[3], "steps") == 0) TRY(time_steps(&s, number(argv, argc, 5, 3)));
    else TRY(run(&s, (size_t)number(argv, argc, 5, 8), number(argv, argc, 6, 1)));
done:
    if (rc < 0) fprintf(stderr, "gradient_speed: %s\n", err_text());
    backend_cpu.close(&s.net);
    plan_free(&s.p);
    weights_close(&s.w);
    graph_free(&s.g);
    free(s.rgb);
    for (int k = 0; k < OUTPUTS; k++)
        free(s.out[k]);
    return rc < 0 ? err_exit_status(rc) : 0;
}
