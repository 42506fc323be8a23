/* extract run, opening: list, session, writer, loader. */
#include "extract/provenance.h"
#include "extract/run_state.h"
#include "common/err.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RING = 4 }; /* batches decoded ahead */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* What would fail at the first image, or only at the end, is said before anything is written. */
static int check_places(const run_config *c, const char *out)
{
    int rc = 0;
    struct stat st;
    CHECK(c->out[0] != '\0', ERR_USAGE, "--out: there is no name");
    CHECK(c->views == 0 || c->decode == NULL || strcmp(c->decode, "gpu") != 0, ERR_USAGE,
          "--views: they are cut by the processor, so not with --decode gpu");
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

int run_open(run *r, enum feature_state *state)
{
    int rc = 0, threads = r->c->threads > 0 ? r->c->threads : session_default_threads();
    session_options o = { .model = r->c->model, .checkpoint = r->c->weights,
                          .device = r->c->device, .precision = r->c->precision,
                          .prep = r->c->prep, .positions = r->c->positions,
                          .dump = r->c->dump, .taps = r->c->taps.v,
                          .n_taps = r->c->taps.n, .scalar = r->c->scalar,
                          .probes = r->c->probes.v, .n_probes = r->c->probes.n,
                          .stats = r->c->stats, .threads = threads,
                          .batch = (size_t)r->c->batch,
                          .decode = r->c->views > 0 ? "cpu" : r->c->decode };
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
    lo.records = r->s.records;
    r->memory = (loader_memory){ r->s.net, r->s.backend->host_alloc, r->s.backend->host_release };
    if (r->memory.alloc != NULL) lo.memory = &r->memory;
    TRY(loader_open(&r->loader, &lo));
    TRY(progress_open(&r->progress, r->c->progress, r->rows, r->done));
done:
    return rc;
}

void run_close(run *r)
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
