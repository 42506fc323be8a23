/* score fit: class means and precisions of the layers of the probe `gap`, for `extract run --stats`
 * (docs/format.md, Statistics). */
#include "score/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/h5.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/outfile.h"
#include "score/stats/gaussians.h"

typedef struct config {
    const char *train, *labels, *out;
    size_t memory;
    int threads, force;
} config;

typedef struct fitted { /* all layers; one Gaussian at a time is in memory, and what is written */
    table_layers names;
    h5_item *item;    /* [2 names.n] means, precision */
    size_t d[TABLE_LAYERS];
    size_t classes;   /* with rows */
} fitted;

static int write_at(int fd, const char *path, const h5_item *item, const double *v)
{
    int rc = 0;
    const char *p = (const char *)v;
    size_t left = (size_t)item->bytes;
    off_t at = (off_t)item->offset;
    while (left > 0) {
        ssize_t k = pwrite(fd, p, left, at);
        if (k < 0 && errno == EINTR) continue;
        CHECK(k > 0, ERR_ENV, "cannot write %s: %s", path, strerror(k < 0 ? errno : ENOSPC));
        p += k;
        at += k;
        left -= (size_t)k;
    }
done:
    return rc;
}

static size_t classes_of(const source *s, size_t *present)
{
    size_t most = 0;
    unsigned char *seen = NULL;
    *present = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->labels[i] >= 0 && (size_t)s->labels[i] >= most) most = (size_t)s->labels[i] + 1;
    if (mem_new(&seen, most + 1, 1, "classes") < 0) return 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->labels[i] >= 0 && !seen[s->labels[i]]) {
            seen[s->labels[i]] = 1;
            ++*present;
        }
    free(seen);
    return most;
}

static int describe(h5_item *item, const char *layer, const char *part, size_t rows, size_t d, const char *path)
{
    int rc = 0;
    CHECK(snprintf(item->name, sizeof item->name, "layers/%s/%s", layer, part) < (int)sizeof item->name, ERR_INPUT,
          "%s: '%s' is too long a name", path, layer);
    item->type = H5_TYPE_F64;
    item->width = 8;
    item->rank = 2;
    item->dim[0] = rows;
    item->dim[1] = d;
    TRY(h5_item_size(item));
done:
    return rc;
}

static int write_layer(const source *s, fitted *f, size_t l, size_t classes, int fd, const char *path, budget *mem)
{
    int rc = 0, none;
    char table[TABLE_NAME];
    gaussians g = {0};
    double *precision = NULL;
    snprintf(table, sizeof table, "gap/%s", f->names.name[l]);
    TRY(gaussians_fit(&g, s, table, classes, mem, &none));
    CHECK(!none, ERR_INPUT, "%s: /probes/%s does not vary within classes", s->path, table);
    if (g.r < g.d) log_warn("%s: rank %zu of %zu: pseudo-inverse", table, g.r, g.d);
    TRY(budget_new(mem, &precision, g.d * g.d, sizeof *precision, "precision"));
    gaussians_precision(&g, precision);
    TRY(write_at(fd, path, &f->item[2 * l], g.class_mean));
    TRY(write_at(fd, path, &f->item[2 * l + 1], precision));
    log_info("%s: %zu classes, %zu rows, %zu values", table, g.k, g.rows, g.d);
done:
    budget_free(mem, &precision);
    gaussians_clear(&g);
    return rc;
}

static int write_file(const source *s, fitted *f, size_t classes, const char *path, budget *mem)
{
    static const char *const format[] = { "outpost-stats" };
    const h5_attr attrs[] = { { "/", "format", 1, format, 0 }, { "/", "format_version", 0, NULL, 1 } };
    int rc = 0, fd = -1;
    char *temp = NULL;
    TRY(outfile_temp_name(&temp, path));
    unlink(temp);
    TRY(h5_create(temp, f->item, 2 * f->names.n, attrs, 2));
    fd = open(temp, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0, ERR_ENV, "cannot write %s: %s", path, strerror(errno));
    for (size_t l = 0; l < f->names.n; l++)
        TRY(write_layer(s, f, l, classes, fd, path, mem));
    CHECK(fsync(fd) == 0, ERR_ENV, "cannot write %s: %s", path, strerror(errno));
    CHECK(rename(temp, path) == 0, ERR_ENV, "cannot rename %s to %s: %s", temp, path, strerror(errno));
    free(temp);
    temp = NULL;
done:
    if (fd >= 0) close(fd);
    if (temp != NULL) unlink(temp);
    free(temp);
    return rc;
}

static int run(void *p)
{
    const config *c = p;
    int rc = 0;
    size_t classes, present;
    source *s = NULL;
    fitted *f = NULL;
    budget mem = {.limit = c->memory};
    if (c->threads > 0) omp_set_num_threads(c->threads);
    linalg_open();
    TRY(outfile_check(c->out));
    TRY(mem_new(&f, 1, sizeof *f, "statistics"));
    TRY(source_open(&s, "train", c->train));
    if (c->labels != NULL) TRY(source_use_labels(s, c->labels, c->force));
    CHECK(s->labels != NULL, ERR_INPUT, "%s: no labels in it (give --labels)", s->path);
    table_take_layers(s, "gap/", &f->names);
    CHECK(f->names.n > 0, ERR_INPUT, "%s: no tables /probes/gap/ (extract with --probe gap)", s->path);
    classes = classes_of(s, &present);
    TRY(mem_new(&f->item, 2 * f->names.n, sizeof *f->item, "statistics"));
    for (size_t l = 0; l < f->names.n; l++) {
        size_t d = table_at(s, "gap/%s", f->names.name[l])->width;
        TRY(describe(&f->item[2 * l], f->names.name[l], "means", present, d, s->path));
        TRY(describe(&f->item[2 * l + 1], f->names.name[l], "precision", d, d, s->path));
    }
    TRY(write_file(s, f, classes, c->out, &mem));
done:
    source_close(&s);
    if (f != NULL) free(f->item);
    free(f);
    return rc;
}

#define AT(field) offsetof(config, field)
static const opt opts[] = {
    {"train", 't', OPT_STRING, AT(train), "FILE", "train set with the tables of --probe gap", NULL, NULL, 0, 0, 1},
    {"out", 'o', OPT_STRING, AT(out), "FILE.h5", "the statistics", NULL, NULL, 0, 0, 1},
    {"labels", 'l', OPT_STRING, AT(labels), "FILE", "labels of the train images", NULL, NULL, 0, 0, 0},
    {"memory", 0, OPT_SIZE, AT(memory), "SIZE", "working memory", "1G", NULL, 0, 0, 0},
    {"threads", 'j', OPT_INT, AT(threads), "N", "0: all cores", "0", NULL, 0, 4096, 0},
    {"force", 'f', OPT_FLAG, AT(force), NULL, "use labels of another list anyway", NULL, NULL, 0, 0, 0},
    {NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL, 0, 0, 0},
};

const command cmd_fit = {
    .name = "fit",
    .summary = "Class means and precisions of layers, for the probes mahalanobis and mdsens.",
    .synopsis = "--train FILE --out FILE.h5 [--labels FILE]",
    .about = "example: score fit --train train.h5 -o stats.h5\n"
             "         extract run ... --probe mahalanobis --stats stats.h5\n",
    .opts = opts,
    .config_size = sizeof(config),
    .run = run,
};
