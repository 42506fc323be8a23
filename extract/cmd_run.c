/* extract run: list -> decoded batches -> network -> feature file, resumable at any moment. */
#include "extract/commands.h"
#include "extract/images/loader.h"
#include "extract/progress.h"
#include "extract/provenance.h"
#include "extract/session.h"
#include "extract/shard.h"
#include "extract/stop.h"
#include "common/err.h"
#include "common/feature_file.h"
#include "common/half.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const double COMMIT_SECONDS = 2; /* work that a kill -9 may cost */
enum { RING = 4, UNDER_WAY = 2 * DEVICES_MAX };

typedef struct run_config {
    const char *model, *weights, *root, *list, *out, *device, *precision, *prep, *positions, *dump,
        *progress, *list_format, *shard, *scalar, *stats;
    args_strings taps, probes;
    int batch, threads, decoders, limit, force, max_bad, views, seed;
    double stop_after;
    args_strings words;
} run_config;

typedef struct run { /* everything of one run under way */
    const run_config *c;
    session s;
    shard part;
    char *path;       /* of the output: --out, or a shard's own */
    list *images;
    char *provenance;
    feature_dataset *datasets;
    feature_constant head[2];
    feature_spec spec; /* the writer borrows it */
    feature_writer *writer;
    loader *loader;
    progress *progress;
    float **out;      /* [outputs] batch rows */
    void **stored;    /* [outputs] what is written: the same, or its own f16 rows */
    uint8_t *status;
    const char **reason;
    loader_batch *under_way[UNDER_WAY]; /* handed to the backend, oldest first */
    size_t n_under_way, depth;
    size_t first, rows; /* of the list: what this run extracts */
    size_t all;         /* rows of the list that all shards extract */
    size_t done, bad;
    double began, committed;
    progress_times spent;
} run;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- opening ----------------------------------------------------------------------------------- */

/* What would fail at the first image, or only at the end, is said before anything is written. */
static int check_places(const run_config *c, const char *out)
{
    int rc = 0;
    struct stat st;
    CHECK(c->out[0] != '\0', ERR_USAGE, "--out: there is no name");
    CHECK(stat(out, &st) != 0 || !S_ISDIR(st.st_mode), ERR_INPUT,
          "%s: is a folder; --out names a file", out);
    CHECK(stat(c->root, &st) == 0, ERR_INPUT, "%s: cannot be opened as a folder: %s", c->root,
          strerror(errno));
    CHECK(S_ISDIR(st.st_mode), ERR_INPUT, "%s: not a folder", c->root);
done:
    return rc;
}

/* Each image of the list as often as it has views. */
static int repeat_images(run *r)
{
    int rc = 0;
    list *l = r->images;
    size_t k = (size_t)r->c->views, n;
    const char **path = NULL;
    int64_t *label = NULL;
    TRY(mem_product(&n, l->n, k, "views"));
    TRY(mem_new(&path, n, sizeof *path, "views"));
    TRY(mem_new(&label, n, sizeof *label, "views"));
    for (size_t i = 0; i < n; i++) {
        path[i] = l->path[i / k];
        label[i] = l->label[i / k];
    }
    free(l->path);
    free(l->label);
    free(l->group);
    l->path = path;
    l->label = label;
    l->group = NULL;
    l->n = n;
    r->all *= k;
    path = NULL;
    label = NULL;
done:
    free(path);
    free(label);
    return rc;
}

static int read_images(run *r)
{
    static const char *const names[] = { "auto", "gen", "openood", "mos" };
    int rc = 0, format = 0;
    size_t end;
    while (strcmp(names[format], r->c->list_format) != 0)
        format++;
    if (r->c->list != NULL) TRY(list_read(&r->images, r->c->list, (list_format)format));
    else TRY(list_scan(&r->images, r->c->root));
    r->all = r->images->n;
    if (r->c->limit > 0 && (size_t)r->c->limit < r->all) r->all = (size_t)r->c->limit;
    if (r->c->views > 0) TRY(repeat_images(r));
    shard_rows(&r->part, r->all, &r->first, &end);
    CHECK(end > r->first, ERR_USAGE, "--shard %zu/%zu: %zu images cannot be cut into %zu shards", r->part.index,
          r->part.count, r->all, r->part.count);
    r->rows = end - r->first;
done:
    return rc;
}

static int make_buffers(run *r)
{
    int rc = 0;
    size_t batch = (size_t)r->c->batch;
    const plan *p = r->s.p;
    TRY(mem_new(&r->datasets, p->n_outputs + 1, sizeof *r->datasets, "outputs"));
    TRY(mem_new(&r->out, p->n_outputs, sizeof *r->out, "outputs"));
    TRY(mem_new(&r->stored, p->n_outputs + 1, sizeof *r->stored, "outputs"));
    for (size_t i = 0; i < p->n_outputs; i++) {
        const output *o = &r->s.out.v[i];
        feature_dataset *d = &r->datasets[i];
        size_t n;
        *d = (feature_dataset){ .name = o->name, .type = o->type, .rank = o->rank, .made = o->made };
        memcpy(d->dim, o->dim, sizeof d->dim);
        TRY(mem_product(&n, p->outputs[i].count, batch, o->name));
        TRY(mem_new_aligned(&r->out[i], n, sizeof(float), o->name));
        r->stored[i] = r->out[i];
        if (o->type == FEATURE_F16) TRY(mem_new_aligned(&r->stored[i], n, sizeof(uint16_t), o->name));
    }
    if (r->c->views > 0)
        r->datasets[p->n_outputs] = (feature_dataset){ .name = "views", .type = FEATURE_I64, .rank = 1,
                                                       .dim = { VIEW_NUMBERS } };
    TRY(mem_new(&r->status, batch, 1, "outputs"));
    TRY(mem_new(&r->reason, batch, sizeof *r->reason, "outputs"));
done:
    return rc;
}

static int open_writer(run *r, enum feature_state *state)
{
    int rc = 0;
    size_t c = (size_t)r->s.classes, d = 0;
    const float *w = session_head(&r->s, 0), *b = session_head(&r->s, 1);
    r->spec = (feature_spec){ .rows = r->rows, .paths = r->images->path + r->first,
                              .path_width = r->images->path_max, .labels = r->images->label + r->first,
                              .datasets = r->datasets, .n_datasets = r->s.p->n_outputs + (r->c->views > 0),
                              .constants = r->head, .provenance = r->provenance };
    if (w != NULL) {
        d = (size_t)graph_node(r->s.g, graph_features(r->s.g))->out.c;
        r->head[0] = (feature_constant){ "head/weight", 2, { c, d }, w };
        r->head[1] = (feature_constant){ "head/bias", 1, { c }, b };
        r->spec.n_constants = 2;
    }
    TRY(feature_writer_open(&r->writer, r->path, &r->spec, r->c->force, state, &r->done));
    if (r->writer != NULL) (void)feature_writer_bad(r->writer, &r->bad); /* of earlier runs */
done:
    return rc;
}

/* The bad rows of a finished file: what it lacks does not depend on how often the command is run. */
static int count_bad(run *r)
{
    int rc = 0;
    feature_file *f = NULL;
    const feature_table *t;
    TRY(feature_file_open(&f, r->path));
    t = feature_file_find(f, "status");
    CHECK(t != NULL && t->type == FEATURE_U8 && t->rank == 1, ERR_INPUT, "%s: no /status",
          r->path);
    for (size_t i = 0; i < t->dim[0]; i++)
        r->bad += ((const uint8_t *)t->data)[i] != ROW_OK;
done:
    feature_file_close(&f);
    return rc;
}

static int judge_bad(const run *r)
{
    int rc = 0;
    CHECK(r->bad <= (size_t)r->c->max_bad, ERR_BAD_IMAGES,
          "%s: %zu images could not be used; their rows are NaN and flagged in /status "
          "(--max-bad %zu accepts them)", r->path, r->bad, r->bad);
done:
    return rc;
}

static int open_run(run *r, enum feature_state *state)
{
    int rc = 0, threads = r->c->threads > 0 ? r->c->threads : session_default_threads();
    session_options o = { .model = r->c->model, .checkpoint = r->c->weights,
                          .device = r->c->device, .precision = r->c->precision,
                          .prep = r->c->prep, .positions = r->c->positions,
                          .dump = r->c->dump, .taps = r->c->taps.v,
                          .n_taps = r->c->taps.n, .scalar = r->c->scalar,
                          .probes = r->c->probes.v, .n_probes = r->c->probes.n,
                          .stats = r->c->stats, .threads = threads,
                          .batch = (size_t)r->c->batch };
    provenance_input in = { .s = &r->s, .o = &o, .checkpoint_name = base_name(r->c->weights) };
    loader_options lo = { .root = r->c->root, .batch = (size_t)r->c->batch, .ring = RING,
                          .threads = r->c->decoders > 0 ? r->c->decoders : threads };
    TRY(shard_parse(&r->part, r->c->shard));
    TRY(shard_path(&r->path, &r->part, r->c->out));
    TRY(check_places(r->c, r->path));
    TRY(read_images(r));
    TRY(session_open(&r->s, &o));
    in.images = r->images;
    in.rows = r->all;
    in.part = r->part;
    in.views = (size_t)r->c->views;
    in.seed = r->c->seed;
    TRY(provenance_make(&r->provenance, &in));
    TRY(make_buffers(r));
    TRY(open_writer(r, state));
    if (*state == FEATURE_COMPLETE) goto done;
    r->depth = r->s.backend->submit != NULL ? r->s.backend->depth(r->s.net) : 1;
    if (r->depth > UNDER_WAY) r->depth = UNDER_WAY;
    lo.ring += r->depth - 1;
    lo.images = r->images;
    lo.begin = r->first + r->done;
    lo.end = r->first + r->rows;
    lo.prep = &r->s.prep;
    lo.views = (size_t)r->c->views;
    lo.seed = (uint64_t)r->c->seed;
    TRY(loader_open(&r->loader, &lo));
    TRY(progress_open(&r->progress, r->c->progress, r->rows, r->done));
done:
    return rc;
}

static void close_run(run *r)
{
    progress_close(&r->progress);
    loader_close(&r->loader);
    feature_writer_close(&r->writer);
    for (size_t i = 0; r->stored != NULL && i < r->s.p->n_outputs; i++) {
        if (r->stored[i] != r->out[i]) free(r->stored[i]);
        free(r->out[i]);
    }
    free(r->stored);
    free(r->out);
    free(r->datasets);
    free(r->status);
    free(r->reason);
    free(r->provenance);
    free(r->path);
    session_clear(&r->s);
    list_free(&r->images);
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static int is_finite(const float *v, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i] * 0.0f; /* 0 for a finite value, NaN otherwise */
    return sum == 0.0f;
}

static int fits_half(const float *v, size_t n)
{
    int fits = 1;
    for (size_t i = 0; i < n; i++)
        fits &= half_fits(v[i]);
    return fits;
}

/* What is wrong with image i of the batch in output k; NULL: nothing. */
static const char *fault(const run *r, size_t k, size_t i)
{
    size_t n = r->s.p->outputs[k].count;
    const float *v = r->out[k] + i * n;
    if (!is_finite(v, n)) return "the network gave NaN or Inf";
    if (r->s.out.v[k].type == FEATURE_F16 && !fits_half(v, n)) return "a value above 65504 is no f16";
    return NULL;
}

/* Rows without a value become NaN in every dataset, so that they never look like data. */
static void mark_bad(run *r, const loader_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        r->status[i] = b->status[i];
        r->reason[i] = b->reason[i];
        for (size_t k = 0; k < r->s.p->n_outputs && r->status[i] == ROW_OK; k++) {
            const char *why = fault(r, k, i);
            if (why == NULL) continue;
            r->status[i] = ROW_NONFINITE;
            r->reason[i] = why;
        }
        if (r->status[i] == ROW_OK) continue;
        r->bad++;
        if (r->bad <= 10)
            log_warn("image %zu '%s': %s", b->row + i + 1, r->images->path[b->row + i],
                     r->reason[i] ? r->reason[i] : "unreadable");
        for (size_t k = 0; k < r->s.p->n_outputs; k++) {
            float *v = r->out[k] + i * r->s.p->outputs[k].count;
            for (size_t j = 0; j < r->s.p->outputs[k].count; j++)
                v[j] = NAN;
        }
    }
}

static void make_halves(run *r, size_t rows)
{
    for (size_t k = 0; k < r->s.p->n_outputs; k++)
        if (r->s.out.v[k].type == FEATURE_F16)
            half_from_floats(r->stored[k], r->out[k], rows * r->s.p->outputs[k].count);
}

/* Hands a batch to the backend: one that works beside us is given the next before this is done. */
static int start_batch(run *r, loader_batch *b)
{
    int rc = 0;
    double t = now();
    const batch_input in = { .rgb = b->rgb };
    r->under_way[r->n_under_way++] = b;
    if (r->s.backend->submit != NULL) TRY(r->s.backend->submit(r->s.net, &in, b->n));
    else TRY(r->s.backend->forward(r->s.net, &in, b->n, r->out));
    r->spent.computed += now() - t;
done:
    return rc;
}

/* Writes the rows of the oldest batch. */
static int finish_batch(run *r)
{
    int rc = 0;
    double t = now();
    loader_batch *b = r->under_way[0];
    if (r->s.backend->submit != NULL) TRY(r->s.backend->wait(r->s.net, r->out));
    r->spent.computed += now() - t;
    t = now();
    mark_bad(r, b);
    make_halves(r, b->n);
    r->stored[r->s.p->n_outputs] = b->views;
    TRY(feature_writer_put(r->writer, b->row - r->first, b->n, (const void *const *)r->stored, r->status,
                           r->reason));
    r->done = b->row - r->first + b->n;
    if (now() - r->committed >= COMMIT_SECONDS) {
        TRY(feature_writer_commit(r->writer));
        r->committed = now();
    }
    r->spent.written += now() - t;
    progress_update(r->progress, r->done, r->bad, &r->spent);
    memmove(r->under_way, r->under_way + 1, --r->n_under_way * sizeof *r->under_way);
    loader_release(r->loader, b);
done:
    return rc;
}

static const char *why_stop(const run *r)
{
    if (stop_asked() != NULL) return stop_asked();
    return r->c->stop_after > 0 && now() - r->began >= r->c->stop_after ? "--stop-after" : NULL;
}

static int all_batches(run *r)
{
    int rc = 0;
    loader_batch *b = NULL;
    for (;;) {
        double t;
        const char *why = why_stop(r);
        if (why != NULL && r->done < r->rows) {
            while (r->n_under_way > 0)
                TRY(finish_batch(r));
            TRY(feature_writer_commit(r->writer));
            CHECK(r->done == r->rows, ERR_INTERRUPTED, "%s: stopped by %s after %zu of %zu images; the same command "
                  "continues", r->path, why, r->done, r->rows);
        }
        t = now();
        TRY(loader_next(r->loader, &b));
        r->spent.waited += now() - t;
        if (b == NULL) break;
        TRY(start_batch(r, b));
        if (r->n_under_way == r->depth) TRY(finish_batch(r));
    }
    while (r->n_under_way > 0)
        TRY(finish_batch(r));
done:
    while (r->n_under_way > 0)
        loader_release(r->loader, r->under_way[--r->n_under_way]);
    if (rc < 0) (void)feature_writer_commit(r->writer); /* what is done stays done, whatever failed */
    return rc;
}

static int cmd_run(void *config)
{
    int rc = 0;
    enum feature_state state = FEATURE_NEW;
    size_t begun;
    run r = { .c = config, .began = now() };
    stop_listen();
    TRY(open_run(&r, &state));
    if (state == FEATURE_COMPLETE) {
        log_info("%s is complete already: %zu images", r.path, r.rows);
        TRY(count_bad(&r));
        TRY(judge_bad(&r));
        goto done;
    }
    if (state == FEATURE_RESUMED)
        log_info("%s: continuing after %zu of %zu images", r.path, r.done, r.rows);
    begun = r.done;
    r.committed = now();
    TRY(all_batches(&r));
    progress_close(&r.progress);
    TRY(feature_writer_commit(r.writer));
    feature_writer_bad(r.writer, &r.bad); /* those of earlier runs too */
    TRY(feature_writer_finish(r.writer));
    log_info("%s: %zu images, %zu bad, %.1f s, %.1f images/s (%s, %s)", r.path, r.rows, r.bad,
             now() - r.began, (double)(r.rows - begun) / (now() - r.began), r.s.m->name,
             r.s.about);
    TRY(judge_bad(&r));
done:
    close_run(&r);
    return rc;
}

static const char *const progress_modes[] = { "auto", "bar", "plain", "json", "none", NULL };
static const char *const formats[] = { "auto", "gen", "openood", "mos", NULL };

#define AT(field) offsetof(run_config, field)
static const opt opts[] = {
    { .name = "model", .letter = 'm', .kind = OPT_STRING, .at = AT(model), .value = "NAME",
      .help = "network; `extract models` lists them", .required = 1 },
    { .name = "weights", .letter = 'w', .kind = OPT_STRING, .at = AT(weights), .value = "FILE",
      .help = "checkpoint: .safetensors, .pth, .pth.tar, .npz", .required = 1 },
    { .name = "root", .letter = 'r', .kind = OPT_STRING, .at = AT(root), .value = "DIR",
      .help = "folder that the list's paths start from", .required = 1 },
    { .name = "list", .letter = 'l', .kind = OPT_STRING, .at = AT(list), .value = "FILE",
      .help = "image list; without it every image below the root" },
    { .name = "out", .letter = 'o', .kind = OPT_STRING, .at = AT(out), .value = "OUT.h5",
      .help = "feature file; an unfinished one is continued", .required = 1 },
    { .name = "device", .letter = 'd', .kind = OPT_STRING, .at = AT(device), .value = "NAME",
      .help = "cpu, cuda, cuda:N, cuda:N,M,... (several GPUs, same bytes)", .def = "cpu" },
    { .name = "precision", .letter = 'p', .kind = OPT_STRING, .at = AT(precision),
      .value = "NAME", .help = "fp32 (exact), tf32, bf16, fp16", .def = "fp32" },
    { .name = "batch", .letter = 'b', .kind = OPT_INT, .at = AT(batch), .value = "N",
      .help = "images per batch; no value on the CPU depends on it", .def = "32", .min = 1, .max = 4096 },
    { .name = "threads", .letter = 't', .kind = OPT_INT, .at = AT(threads), .value = "N",
      .help = "network threads on the CPU  [all this process may use]", .min = 1, .max = 1024 },
    { .name = "decoders", .letter = 'j', .kind = OPT_INT, .at = AT(decoders), .value = "N",
      .help = "decode threads  [as many]", .min = 1, .max = 1024 },
    { .name = "prep", .kind = OPT_STRING, .at = AT(prep), .value = "PRESET[:KEY=VALUE,...]",
      .help = "gen, torchvision, openood, mos, cifar, timm, mmcls  [the network's own]" },
    { .name = "positions", .kind = OPT_STRING, .at = AT(positions), .value = "HOW",
      .help = "positions of another input size: plain, antialias (timm from 0.9)", .def = "plain",
      .choices = positions_choices },
    { .name = "dump", .kind = OPT_STRING, .at = AT(dump), .value = "WHAT,...",
      .help = "features, logits, gradients:TAP[:mean|:sum|:max], each also with :f16; `image` is a tap here",
      .def = "features,logits" },
    { .name = "scalar", .kind = OPT_STRING, .at = AT(scalar), .value = "OF",
      .help = "whose gradients: uniform (cross entropy to it), ce[:T], logsumexp, max, logit=C  [uniform]" },
    { .name = "tap", .kind = OPT_REPEAT, .at = AT(taps), .value = "NAME[:mean|:sum|:max][:f16]",
      .help = "also store this activation, whole or reduced over its map" },
    { .name = "probe", .kind = OPT_REPEAT, .at = AT(probes), .value = "NAME[:KEY=VALUE,...]",
      .help = "also compute this while the network is there; `extract probes` lists them" },
    { .name = "stats", .kind = OPT_STRING, .at = AT(stats), .value = "FILE",
      .help = "fitted means and precisions, for the probes that need them" },
    { .name = "list-format", .kind = OPT_STRING, .at = AT(list_format), .value = "NAME",
      .help = "auto, gen, openood, mos", .def = "auto", .choices = formats },
    { .name = "limit", .kind = OPT_INT, .at = AT(limit), .value = "N",
      .help = "only the first N images of the list", .min = 1, .max = 2147483647 },
    { .name = "shard", .kind = OPT_STRING, .at = AT(shard), .value = "I/N|auto[/N]",
      .help = "only part I of N, 0 to N - 1, into OUT.shard-I-of-N.h5;\nauto: as the job array's task" },
    { .name = "views", .kind = OPT_INT, .at = AT(views), .value = "K",
      .help = "K random views of each image (resized crop, flip) instead of the image", .min = 1, .max = 10000 },
    { .name = "seed", .kind = OPT_INT, .at = AT(seed), .value = "S", .help = "of the views", .def = "0", .min = 0,
      .max = 2147483647 },
    { .name = "max-bad", .kind = OPT_INT, .at = AT(max_bad), .value = "N",
      .help = "accept this many unreadable images; more: exit 3 at the end", .def = "0", .min = 0,
      .max = 2147483647 },
    { .name = "stop-after", .kind = OPT_DURATION, .at = AT(stop_after), .value = "TIME",
      .help = "commit and exit 75 after this long (90s, 15m, 2h)" },
    { .name = "force", .kind = OPT_FLAG, .at = AT(force),
      .help = "start over where OUT.h5 was made with other settings" },
    { .name = "progress", .kind = OPT_STRING, .at = AT(progress), .value = "MODE",
      .help = "auto, bar, plain, json, none", .def = "auto", .choices = progress_modes },
    { .name = NULL }
};

const command command_run = {
    .name = "run",
    .summary = "Runs a network over a list of images and stores features and logits.",
    .synopsis = "-m MODEL -w CHECKPOINT -r ROOT [-l LIST] -o OUT.h5 [options]",
    .about = "example: extract run -m resnet50 -w resnet50.pth -r imagenet -l val.txt -o val.h5\n"
             "Exit: 0 done, 3 done but images unreadable, 4 an input is refused, 5 environment,\n"
             "75 interrupted: the same command continues.",
    .opts = opts,
    .config_size = sizeof(run_config),
    .words_at = AT(words),
    .run = cmd_run,
};
