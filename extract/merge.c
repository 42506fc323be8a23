#include "extract/merge.h"
#include "extract/outputs.h"
#include "extract/shard.h"
#include "extract/stop.h"
#include "common/err.h"
#include "common/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1024, PATH_ROOM = 65537 }; /* rows copied at once; bytes of a path and its end */

/* ---- provenance --------------------------------------------------------------------------------- */

typedef struct part { /* what a shard says of itself */
    json_t *about;    /* without the shard */
    shard s;
    size_t all;       /* rows of the whole list */
    feature_file *f;
    const char *path;
} part;

static size_t whole(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) && json_integer_value(v) >= 0 ? (size_t)json_integer_value(v) : SIZE_MAX;
}

static int read_part(part *p, const char *path)
{
    int rc = 0;
    const char *text;
    const json_t *s;
    const feature_table *status;
    size_t begin, end;
    p->path = path;
    TRY(feature_file_verify(path));
    TRY(feature_file_open(&p->f, path));
    text = feature_file_provenance(p->f);
    p->about = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    CHECK(json_is_object(p->about), ERR_INPUT, "%s: /provenance is not a JSON object", path);
    s = json_object_get(p->about, "shard");
    CHECK(s != NULL, ERR_INPUT, "%s: is no shard but a whole file", path);
    p->s = (shard){ whole(s, "index"), whole(s, "count") };
    p->all = whole(json_object_get(p->about, "list"), "rows");
    CHECK(p->s.count >= 1 && p->s.count <= 1000000 && p->s.index < p->s.count && p->all < SIZE_MAX / 2, ERR_INPUT,
          "%s: /provenance: shard %zu of %zu", path, p->s.index, p->s.count);
    json_object_del(p->about, "shard");
    shard_rows(&p->s, p->all, &begin, &end);
    status = feature_file_find(p->f, "status");
    CHECK(status != NULL && status->type == FEATURE_U8 && status->rank == 1 && status->dim[0] == end - begin, ERR_INPUT,
          "%s: shard %zu of %zu has rows %zu to %zu of %zu, and this file not that many", path, p->s.index, p->s.count,
          begin, end, p->all);
done:
    return rc;
}

/* The first setting in which two runs differ; the command, which repeats the others, is none. */
static int refuse_other(const part *a, const part *b)
{
    const char *key;
    json_t *v;
    char *x, *y;
    json_object_foreach(a->about, key, v) {
        const json_t *other = json_object_get(b->about, key);
        if (strcmp(key, "command") == 0 || (other != NULL && json_equal(v, other))) continue;
        x = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        y = other != NULL ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        err_set(ERR_INPUT, "%s and %s are not of one run: %s is %s and %s", a->path, b->path, key, x ? x : "?",
                y ? y : "not there");
        free(x);
        free(y);
        return ERR_INPUT;
    }
    return err_set(ERR_INPUT, "%s and %s are not of one run", a->path, b->path);
}

static int by_index(const void *a, const void *b)
{
    const part *x = a, *y = b;
    return (x->s.index > y->s.index) - (x->s.index < y->s.index);
}

/* Each shard once, all of one run. */
static int check_parts(const part *p, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(p[i].s.count == p[0].s.count, ERR_INPUT, "%s is one of %zu shards, %s one of %zu", p[0].path, p[0].s.count,
              p[i].path, p[i].s.count);
        if (!json_equal(p[0].about, p[i].about)) return refuse_other(&p[0], &p[i]);
        CHECK(i == 0 || p[i].s.index != p[i - 1].s.index, ERR_INPUT, "%s and %s are both shard %zu of %zu",
              p[i - 1].path, p[i].path, p[i].s.index, p[i].s.count);
    }
    for (size_t i = 0; i < p[0].s.count; i++)
        CHECK(i < n && p[i].s.index == i, ERR_INPUT, "shard %zu of %zu is missing", i, p[0].s.count);
done:
    return rc;
}

/* ---- what the whole file holds ------------------------------------------------------------------ */

static int same_table(const feature_table *a, const feature_table *b)
{
    if (b == NULL || a->type != b->type || a->rank != b->rank) return 0;
    return memcmp(a->dim + 1, b->dim + 1, (size_t)(a->rank - 1) * sizeof *a->dim) == 0;
}

/* The per-image datasets, in the order in which the run names its outputs. */
static int find_datasets(merge *m, const json_t *listed)
{
    int rc = 0;
    CHECK(json_is_array(listed) && json_array_size(listed) <= FEATURE_DATASETS_MAX, ERR_INPUT,
          "%s: /provenance lists no outputs", m->path[0]);
    TRY(mem_new(&m->datasets, json_array_size(listed), sizeof *m->datasets, "datasets"));
    TRY(mem_new(&m->owned, json_array_size(listed), sizeof *m->owned, "datasets"));
    TRY(mem_new(&m->made, json_array_size(listed), sizeof *m->made, "datasets"));
    for (size_t k = 0; k < json_array_size(listed); k++) {
        const char *name = json_string_value(json_object_get(json_array_get(listed, k), "name"));
        const feature_table *t = name != NULL ? feature_file_find(m->f[0], name) : NULL;
        feature_dataset *d = &m->datasets[m->n_datasets];
        CHECK(t != NULL && t->rank >= 2, ERR_INPUT, "%s: no /%s, which /provenance lists", m->path[0], name ? name : "");
        for (size_t i = 1; i < m->n; i++)
            CHECK(same_table(t, feature_file_find(m->f[i], name)), ERR_INPUT, "%s: /%s is not as in %s", m->path[i], name,
                  m->path[0]);
        TRY(mem_strdup(&m->owned[m->n_datasets++], name));
        *d = (feature_dataset){ .name = m->owned[k], .type = t->type, .rank = t->rank - 1 };
        memcpy(d->dim, t->dim + 1, (size_t)d->rank * sizeof *d->dim);
        TRY(outputs_made(&m->made[k], json_object_get(json_array_get(listed, k), "made")));
        d->made = m->made[k];
    }
done:
    return rc;
}

/* The head, which every shard has whole. */
static int find_head(merge *m)
{
    static const char *const names[] = { "head/weight", "head/bias" };
    int rc = 0;
    for (size_t k = 0; k < 2; k++) {
        const feature_table *t = feature_file_find(m->f[0], names[k]);
        feature_constant *c = &m->head[m->spec.n_constants];
        size_t bytes = sizeof(float);
        if (t == NULL) continue;
        CHECK(t->type == FEATURE_F32, ERR_INPUT, "%s: /%s is not f32", m->path[0], names[k]);
        *c = (feature_constant){ .name = names[k], .rank = t->rank, .v = t->data };
        for (int i = 0; i < t->rank; i++) {
            c->dim[i] = t->dim[i];
            bytes *= t->dim[i];
        }
        for (size_t i = 1; i < m->n; i++) {
            const feature_table *u = feature_file_find(m->f[i], names[k]);
            CHECK(same_table(t, u) && u->dim[0] == t->dim[0] && memcmp(u->data, t->data, bytes) == 0, ERR_INPUT,
                  "%s: /%s is not that of %s", m->path[i], names[k], m->path[0]);
        }
        m->spec.n_constants++;
    }
done:
    return rc;
}

static int read_labels(merge *m)
{
    int rc = 0;
    size_t at = 0;
    TRY(mem_new(&m->labels, m->rows, sizeof *m->labels, "labels"));
    for (size_t i = 0; i < m->n; i++) {
        const feature_table *t = feature_file_find(m->f[i], "labels");
        CHECK(t != NULL && t->type == FEATURE_I64 && t->rank == 1 && t->dim[0] == feature_file_paths(m->f[i]), ERR_INPUT,
              "%s: no label and path for each row", m->path[i]);
        memcpy(m->labels + at, t->data, t->dim[0] * sizeof *m->labels);
        at += t->dim[0];
    }
    CHECK(at == m->rows, ERR_INPUT, "the shards have %zu rows, the list %zu", at, m->rows);
done:
    return rc;
}

static int read_paths(merge *m)
{
    int rc = 0;
    size_t at = 0, used = 0, room = 0;
    size_t *offset = NULL;
    char *buf = NULL;
    TRY(mem_new(&buf, PATH_ROOM, 1, "paths"));
    TRY(mem_new(&offset, m->rows, sizeof *offset, "paths"));
    TRY(mem_new(&m->names, m->rows, sizeof *m->names, "paths"));
    for (size_t i = 0; i < m->n; i++)
        for (size_t row = 0; row < feature_file_paths(m->f[i]); row++, at++) {
            size_t n = strlen(feature_file_path(m->f[i], row, buf, PATH_ROOM)) + 1;
            TRY(mem_grow(&m->text, &room, used + n, 1, "paths"));
            memcpy(m->text + used, buf, n);
            offset[at] = used;
            used += n;
        }
    for (size_t i = 0; i < m->rows; i++)
        m->names[i] = m->text + offset[i];
done:
    free(offset);
    free(buf);
    return rc;
}

/* ---- the interface ------------------------------------------------------------------------------ */

static int describe(merge *m, const part *p)
{
    int rc = 0;
    m->rows = p->all;
    m->provenance = json_dumps(p->about, JSON_INDENT(1) | JSON_SORT_KEYS);
    CHECK(m->provenance != NULL, ERR_ENV, "no memory for the provenance");
    TRY(find_datasets(m, json_object_get(p->about, "outputs")));
    TRY(find_head(m));
    TRY(read_labels(m));
    TRY(read_paths(m));
    m->spec.rows = m->rows;
    m->spec.paths = (const char *const *)m->names;
    m->spec.path_width = feature_file_path_width(m->f[0]);
    m->spec.labels = m->labels;
    m->spec.datasets = m->datasets;
    m->spec.n_datasets = m->n_datasets;
    m->spec.constants = m->head;
    m->spec.provenance = m->provenance;
done:
    return rc;
}

int merge_open(merge *m, const char *const *paths, size_t n)
{
    int rc = 0;
    part *p = NULL;
    *m = (merge){ 0 };
    TRY(mem_new(&p, n, sizeof *p, "shards"));
    TRY(mem_new(&m->f, n, sizeof *m->f, "shards"));
    TRY(mem_new(&m->path, n, sizeof *m->path, "shards"));
    for (size_t i = 0; i < n; i++)
        TRY(read_part(&p[i], paths[i]));
    qsort(p, n, sizeof *p, by_index);
    TRY(check_parts(p, n));
    for (; m->n < n; m->n++) {
        m->f[m->n] = p[m->n].f;
        m->path[m->n] = p[m->n].path;
        p[m->n].f = NULL; /* handed over */
    }
    TRY(describe(m, &p[0]));
done:
    for (size_t i = 0; p != NULL && i < n; i++) {
        feature_file_close(&p[i].f);
        json_decref(p[i].about);
    }
    free(p);
    return rc;
}

static int put_rows(const merge *m, feature_writer *w, size_t file, size_t at, size_t n, size_t row)
{
    const void *data[FEATURE_DATASETS_MAX];
    const feature_table *status = feature_file_find(m->f[file], "status");
    for (size_t k = 0; k < m->n_datasets; k++) {
        const feature_dataset *d = &m->datasets[k];
        size_t bytes = feature_type_size(d->type);
        for (int i = 0; i < d->rank; i++)
            bytes *= d->dim[i];
        data[k] = (const char *)feature_file_find(m->f[file], d->name)->data + at * bytes;
    }
    return feature_writer_put(w, row, n, data, (const uint8_t *)status->data + at, NULL);
}

static void forget(const merge *m, size_t file, size_t end)
{
    for (size_t k = 0; k < m->n_datasets; k++)
        feature_file_forget(m->f[file], feature_file_find(m->f[file], m->datasets[k].name), 0, end);
}

int merge_copy(const merge *m, feature_writer *w, size_t done, const char *out)
{
    int rc = 0;
    size_t before = 0; /* rows of the shards before this one */
    for (size_t i = 0; i < m->n; i++) {
        size_t rows = feature_file_paths(m->f[i]), at = done > before ? done - before : 0;
        while (at < rows) {
            size_t n = rows - at < CHUNK ? rows - at : CHUNK;
            TRY(put_rows(m, w, i, at, n, before + at));
            at += n;
            if (stop_asked() == NULL || before + at == m->rows) continue;
            TRY(feature_writer_commit(w));
            CHECK(0, ERR_INTERRUPTED, "%s: stopped by %s after %zu of %zu rows; the same command continues", out,
                  stop_asked(), before + at, m->rows);
        }
        before += rows;
        forget(m, i, rows);
        TRY(feature_writer_commit(w));
    }
done:
    return rc;
}

void merge_clear(merge *m)
{
    for (size_t i = 0; i < m->n; i++)
        feature_file_close(&m->f[i]);
    for (size_t k = 0; m->owned != NULL && k < m->n_datasets; k++)
        free(m->owned[k]);
    for (size_t k = 0; m->made != NULL && k < m->n_datasets; k++)
        free(m->made[k]);
    free(m->made);
    free(m->owned);
    free(m->datasets);
    free(m->f);
    free(m->path);
    free(m->names);
    free(m->text);
    free(m->labels);
    free(m->provenance);
}
