/* extract bench: one stage alone, for side-by-side timings (tests/bench).  The last line is
 *   outpost-bench cpu=SECONDS wall=SECONDS items=N
 * and counts the stage only, not the start of the program. */
#include "extract/commands.h"
#include "extract/images/loader.h"
#include "extract/session.h"
#include "common/err.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench_config {
    const char *model, *weights, *root, *list, *device, *precision, *prep, *positions, *decode;
    int batch, threads, images, digest;
    args_strings words;
} bench_config;

static double clock_of(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct stopwatch {
    double cpu, wall;
} stopwatch;

static stopwatch start(void)
{
    return (stopwatch){ clock_of(CLOCK_PROCESS_CPUTIME_ID), clock_of(CLOCK_MONOTONIC) };
}

static void report(stopwatch w, size_t items)
{
    double cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - w.cpu;
    double wall = clock_of(CLOCK_MONOTONIC) - w.wall;
    printf("%zu images, %.1f images per CPU second, %.1f per second\n", items, (double)items / cpu,
           (double)items / wall);
    printf("outpost-bench cpu=%.6f wall=%.6f items=%zu\n", cpu, wall, items);
}

/* Files -> bytes that the network would see. */
static int bench_decode(const bench_config *c)
{
    int rc = 0;
    list *images = NULL;
    loader *l = NULL;
    loader_batch *b;
    prep p;
    prep_native native = { .side = 224, .preset = "torchvision", .resize_short = 256,
                           .std = { 1, 1, 1 } };
    const model *m = c->model != NULL ? model_find(c->model) : NULL;
    loader_options o = { .root = c->root, .prep = &p, .batch = (size_t)c->batch, .ring = 4,
                         .threads = c->threads };
    stopwatch w;
    size_t good = 0;
    CHECK(c->root != NULL && c->list != NULL, ERR_USAGE, "bench decode needs -r and -l");
    TRY(prep_resolve(&p, c->prep, m != NULL ? &m->prep : &native));
    TRY(list_read(&images, c->list, LIST_AUTO));
    o.images = images;
    o.records = strcmp(c->decode, "gpu") == 0;
    o.end = images->n;
    if (c->images > 0 && (size_t)c->images < o.end) o.end = (size_t)c->images;
    w = start();
    TRY(loader_open(&l, &o));
    for (;;) {
        TRY(loader_next(l, &b));
        if (b == NULL) break;
        for (size_t i = 0; i < b->n; i++)
            good += b->status[i] == 1;
        loader_release(l, b);
    }
    report(w, good);
done:
    loader_close(&l);
    list_free(&images);
    return rc;
}

/* FNV-1a of the outputs' bytes: batches that agree to the bit have the same. */
static uint64_t digest_of(const plan *p, size_t batch, float *const *out)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t k = 0; k < p->n_outputs; k++) {
        const unsigned char *v = (const unsigned char *)out[k];
        for (size_t i = 0; i < p->outputs[k].count * batch * sizeof(float); i++)
            h = (h ^ v[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

typedef struct noise { /* one batch, again and again */
    session *s;
    batch_input in;
    size_t batch;
    float *const *out;
    int digest;      /* whether all batches must come out alike */
    uint64_t first;
    size_t finished;
} noise;

static int finish(noise *n)
{
    int rc = 0;
    uint64_t h;
    if (n->s->backend->submit != NULL) TRY(n->s->backend->wait(n->s->net, n->out));
    if (!n->digest) goto done;
    h = digest_of(n->s->p, n->batch, n->out);
    if (n->finished++ == 0) n->first = h;
    CHECK(h == n->first, ERR_INTERNAL, "%s: batch %zu of the same images has other bits than the first",
          n->s->m->name, n->finished);
done:
    return rc;
}

/* What works beside us always has the next batch already. */
static int forwards(noise *n, size_t batches)
{
    int rc = 0;
    const backend_def *be = n->s->backend;
    size_t under_way = 0, depth = be->submit != NULL ? be->depth(n->s->net) : 1;
    for (size_t i = 0; i < batches; i++) {
        if (be->submit != NULL) TRY(be->submit(n->s->net, &n->in, n->batch));
        else TRY(be->forward(n->s->net, &n->in, n->batch, n->out));
        if (++under_way < depth) continue;
        TRY(finish(n));
        under_way--;
    }
    for (; under_way > 0; under_way--)
        TRY(finish(n));
done:
    return rc;
}

/* Network alone, on one batch of noise again and again. */
static int bench_net(const bench_config *c)
{
    int rc = 0;
    session s = { 0 };
    uint8_t *rgb = NULL;
    float *out[2] = { NULL, NULL };
    size_t batch = (size_t)c->batch, bytes, batches = ((size_t)c->images + batch - 1) / batch;
    unsigned long seed = 1;
    stopwatch w;
    noise n;
    session_options o = { .model = c->model, .checkpoint = c->weights, .device = c->device,
                          .precision = c->precision, .prep = c->prep, .dump = "features,logits",
                          .positions = c->positions, .threads = c->threads, .batch = batch };
    CHECK(c->model != NULL && c->weights != NULL, ERR_USAGE, "bench net needs -m and -w");
    TRY(session_open(&s, &o));
    bytes = (size_t)s.prep.out_h * (size_t)s.prep.out_w * 3 * batch;
    TRY(mem_new(&rgb, bytes, 1, "images"));
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        rgb[i] = (uint8_t)(seed >> 56);
    }
    for (int k = 0; k < 2; k++)
        TRY(mem_new_aligned(&out[k], s.p->outputs[k].count * batch, sizeof(float), "outputs"));
    n = (noise){ .s = &s, .in = { .rgb = rgb }, .batch = batch, .out = out, .digest = c->digest };
    TRY(forwards(&n, 1)); /* pages and caches are warm now */
    w = start();
    TRY(forwards(&n, batches));
    if (c->digest) printf("digest %016" PRIx64 " of %zu batches\n", n.first, n.finished);
    printf("%s %s, %zu MiB of activations\n", s.m->name, s.about, s.backend->memory(s.net) >> 20);
    report(w, batches * batch);
done:
    free(rgb);
    free(out[0]);
    free(out[1]);
    session_clear(&s);
    return rc;
}

static int cmd_bench(void *config)
{
    const bench_config *c = config;
    if (strcmp(c->words.v[0], "decode") == 0) return bench_decode(c);
    if (strcmp(c->words.v[0], "net") == 0) return bench_net(c);
    return err_set(ERR_USAGE, "bench '%s'? decode or net", c->words.v[0]);
}

#define AT(field) offsetof(bench_config, field)
static const char *const decoders[] = { "cpu", "gpu", NULL };
static const opt opts[] = {
    { .name = "model", .letter = 'm', .kind = OPT_STRING, .at = AT(model), .value = "NAME",
      .help = "network" },
    { .name = "weights", .letter = 'w', .kind = OPT_STRING, .at = AT(weights), .value = "FILE",
      .help = "checkpoint" },
    { .name = "root", .letter = 'r', .kind = OPT_STRING, .at = AT(root), .value = "DIR",
      .help = "decode: folder of the list's paths" },
    { .name = "list", .letter = 'l', .kind = OPT_STRING, .at = AT(list), .value = "FILE",
      .help = "decode: image list" },
    { .name = "device", .letter = 'd', .kind = OPT_STRING, .at = AT(device), .value = "NAME",
      .help = "cpu, cuda, cuda:N, cuda:N,M,...", .def = "cpu" },
    { .name = "precision", .letter = 'p', .kind = OPT_STRING, .at = AT(precision),
      .value = "NAME", .help = "fp32, tf32, bf16, fp16", .def = "fp32" },
    { .name = "prep", .kind = OPT_STRING, .at = AT(prep), .value = "PRESET",
      .help = "preprocessing  [the network's own]" },
    { .name = "positions", .kind = OPT_STRING, .at = AT(positions), .value = "HOW",
      .help = "plain, antialias", .def = "plain", .choices = positions_choices },
    { .name = "batch", .letter = 'b', .kind = OPT_INT, .at = AT(batch), .value = "N",
      .help = "images per batch", .def = "16", .min = 1, .max = 4096 },
    { .name = "threads", .letter = 't', .kind = OPT_INT, .at = AT(threads), .value = "N",
      .help = "threads", .def = "1", .min = 1, .max = 1024 },
    { .name = "decode", .kind = OPT_STRING, .at = AT(decode), .value = "WHO",
      .help = "decode: cpu, or as far as gpu kernels leave it to the cpu", .def = "cpu",
      .choices = decoders },
    { .name = "images", .letter = 'n', .kind = OPT_INT, .at = AT(images), .value = "N",
      .help = "images to time", .def = "64", .min = 1, .max = 100000000 },
    { .name = "digest", .kind = OPT_FLAG, .at = AT(digest),
      .help = "net: all batches must have the same bits; prints their digest" },
    { .name = NULL }
};

const command command_bench = {
    .name = "bench",
    .summary = "Times one stage alone: decode or net.",
    .synopsis = "decode|net [options]",
    .about = "example: extract bench net -m resnet50 -w resnet50.pth -p bf16 -n 256",
    .opts = opts,
    .config_size = sizeof(bench_config),
    .words_at = AT(words),
    .words_min = 1,
    .words_max = 1,
    .run = cmd_bench,
};
