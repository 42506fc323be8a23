/* extract run: list -> decoded batches -> network -> feature file, resumable at any moment. */
#include "extract/commands.h"
#include "extract/run_state.h"
#include "extract/stop.h"
#include "common/err.h"
#include "common/half.h"
#include "common/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double COMMIT_SECONDS = 2; /* work that a kill -9 may cost */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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
    const batch_input in = { .rgb = b->rgb, .records = b->rgb == NULL ? &b->records : NULL, .stays = 1 };
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
    TRY(run_open(&r, &state));
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
    run_close(&r);
    return rc;
}

static const char *const progress_modes[] = { "auto", "bar", "plain", "json", "none", NULL };
static const char *const decoders[] = { "auto", "cpu", "gpu", NULL };
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
    { .name = "decode", .kind = OPT_STRING, .at = AT(decode), .value = "WHO",
      .help = "pixels of JPEGs: cpu, gpu (kernels; same bytes), auto (gpu with -d cuda)", .def = "auto",
      .choices = decoders },
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
