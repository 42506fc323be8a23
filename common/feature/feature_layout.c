#include "common/feature/feature_layout.h"
#include "common/err.h"
#include "common/feature/feature_digest.h"
#include "common/feature/feature_io.h"
#include "common/mem.h"

#include <fcntl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

/* Stands in the attribute `complete` just long enough to find out where the library put it. */
static const int64_t COMPLETE_MARK = 0x3f6b9d1ec47a5283;

size_t feature_row_bytes(const h5_item *item)
{
    size_t bytes = item->width;
    for (int d = 1; d < item->rank; d++)
        bytes *= item->dim[d];
    return bytes;
}

size_t feature_rows(const h5_item *item)
{
    return item->rank == 0 ? 1 : item->dim[0];
}

static const char *const type_name[] = {"f32", "f16", "i64", "u8"};
static const enum h5_type type_of[] = {H5_TYPE_F32, H5_TYPE_F16, H5_TYPE_I64, H5_TYPE_U8};

/* Letters, digits and punctuation that no shell, path or terminal takes for something else. */
static int check_name(const char *name)
{
    static const char extra[] = "_-+.:=,@/";
    size_t n = strlen(name);
    int dots = 1; /* the component so far is only dots, or empty */
    if (n == 0 || n > H5_NAME_ROOM - 16) goto bad;
    for (const char *p = name;; p++) {
        if (*p == '/' || *p == '\0') {
            if (dots) goto bad;
            if (*p == '\0') break;
            dots = 1;
            continue;
        }
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              strchr(extra, *p) != NULL))
            goto bad;
        if (*p != '.') dots = 0;
    }
    if (strcmp(name, "digests") != 0 && strncmp(name, "digests/", 8) != 0) return 0;
bad:
    return err_set(ERR_USAGE, "feature file: '%s' cannot name a dataset", name);
}

static int add(feature_layout *l, const char *name, enum h5_type type, int rank, size_t rows,
               const size_t *dim, size_t width)
{
    int rc = 0;
    h5_item *it = &l->item[l->n];
    TRY(check_name(name));
    for (size_t i = 0; i < l->n; i++)
        CHECK(strcmp(l->item[i].name, name) != 0, ERR_USAGE,
              "feature file: two datasets named '%s'", name);
    snprintf(it->name, sizeof it->name, "%s", name);
    it->type = type;
    it->width = width;
    it->rank = rank;
    if (rank > 0) it->dim[0] = rows;
    for (int d = 1; d < rank; d++)
        it->dim[d] = dim[d - 1];
    TRY(h5_item_size(it));
    l->n++;
done:
    return rc;
}

static int add_data(feature_layout *l, const feature_spec *s)
{
    int rc = 0;
    size_t text = strlen(s->provenance);
    l->n_sets = s->n_datasets;
    for (size_t i = 0; i < s->n_datasets; i++) {
        const feature_dataset *d = &s->datasets[i];
        CHECK(d->rank >= 0 && d->rank <= FEATURE_RANK_MAX, ERR_USAGE,
              "feature file: '%s' has rank %d", d->name, d->rank);
        TRY(add(l, d->name, type_of[d->type], d->rank + 1, s->rows, d->dim, 0));
        CHECK(feature_row_bytes(&l->item[i]) > 0, ERR_USAGE, "feature file: '%s' has empty rows",
              d->name);
    }
    l->labels = l->n;
    TRY(add(l, "labels", H5_TYPE_I64, 1, s->rows, NULL, 0));
    l->paths = l->n;
    TRY(add(l, "paths", H5_TYPE_STRING, 1, s->rows, NULL, s->path_width > 0 ? s->path_width : 1));
    l->status = l->n;
    TRY(add(l, "status", H5_TYPE_U8, 1, s->rows, NULL, 0));
    l->constants = l->n;
    for (size_t i = 0; i < s->n_constants; i++) {
        const feature_constant *c = &s->constants[i];
        CHECK(c->rank >= 1 && c->rank <= FEATURE_RANK_MAX, ERR_USAGE,
              "feature file: '%s' has rank %d", c->name, c->rank);
        TRY(add(l, c->name, H5_TYPE_F32, c->rank, c->dim[0], c->dim + 1, 0));
    }
    l->provenance = l->n;
    TRY(add(l, "provenance", H5_TYPE_STRING, 0, 0, NULL, text > 0 ? text : 1));
    l->n_data = l->n;
done:
    return rc;
}

static int add_digests(feature_layout *l)
{
    int rc = 0;
    for (size_t i = 0; i <= l->n_data; i++) {
        static const char folder[] = "digests/";
        h5_item *it = &l->item[l->n];
        size_t rows = 1, room = sizeof it->name - sizeof folder;
        memcpy(it->name, FEATURE_METADATA, sizeof FEATURE_METADATA);
        if (i < l->n_data) { /* check_name keeps names short enough */
            rows = feature_rows(&l->item[i]);
            memcpy(it->name, folder, sizeof folder - 1);
            memcpy(it->name + sizeof folder - 1, l->item[i].name, room);
        }
        it->type = H5_TYPE_U8;
        it->rank = 2;
        it->dim[0] = rows / DIGEST_BLOCK_ROWS + (rows % DIGEST_BLOCK_ROWS != 0);
        it->dim[1] = DIGEST_BYTES;
        TRY(h5_item_size(it));
        l->n++;
    }
done:
    return rc;
}

/* --- identity --------------------------------------------------------------------------------- */

static int hex_of(const void *data, size_t bytes, char hex[65])
{
    unsigned char raw[DIGEST_BYTES];
    int rc = sha256_of(data, bytes, raw);
    if (rc == 0) sha256_hex(raw, hex);
    return rc;
}

static int paths_hex(const feature_spec *s, char hex[65])
{
    int rc = 0;
    void *state = NULL;
    unsigned char raw[DIGEST_BYTES];
    TRY(sha256_new(&state));
    for (size_t i = 0; i < s->rows; i++) {
        size_t len = strlen(s->paths[i]);
        CHECK(len <= s->path_width, ERR_USAGE, "feature file: path of %zu bytes, room for %zu: %s",
              len, s->path_width, s->paths[i]);
        TRY(sha256_add(state, s->paths[i], len + 1));
    }
    TRY(sha256_end(state, raw));
    sha256_hex(raw, hex);
done:
    sha256_free(&state);
    return rc;
}

/* first: 1 for per-image datasets, whose rows are said once for all. */
static json_t *shape_json(const h5_item *it, int first, const char *type, const char *sha256)
{
    json_t *o = json_object(), *dims = json_array();
    for (int d = first; d < it->rank; d++)
        json_array_append_new(dims, json_integer((json_int_t)it->dim[d]));
    json_object_set_new(o, "name", json_string(it->name));
    json_object_set_new(o, "type", json_string(type));
    json_object_set_new(o, "dims", dims);
    if (sha256 != NULL) json_object_set_new(o, "sha256", json_string(sha256));
    return o;
}

static int make_identity(feature_layout *l, const feature_spec *s)
{
    int rc = 0;
    char hex[65];
    json_t *o = json_object(), *sets = json_array(), *constants = json_array();
    json_object_set_new(o, "datasets", sets);
    json_object_set_new(o, "constants", constants);
    json_object_set_new(o, "rows", json_integer((json_int_t)s->rows));
    json_object_set_new(o, "path_width", json_integer((json_int_t)s->path_width));
    TRY(hex_of(s->provenance, strlen(s->provenance), hex));
    json_object_set_new(o, "provenance_sha256", json_string(hex));
    TRY(paths_hex(s, hex));
    json_object_set_new(o, "paths_sha256", json_string(hex));
    TRY(hex_of(s->labels, s->rows * sizeof *s->labels, hex));
    json_object_set_new(o, "labels_sha256", json_string(hex));
    for (size_t i = 0; i < l->n_sets; i++) {
        json_t *set = shape_json(&l->item[i], 1, type_name[s->datasets[i].type], NULL);
        if (s->datasets[i].made != NULL)
            json_object_set_new(set, "made", json_string(s->datasets[i].made));
        json_array_append_new(sets, set);
    }
    for (size_t i = 0; i < s->n_constants; i++) {
        const h5_item *it = &l->item[l->constants + i];
        TRY(hex_of(s->constants[i].v, it->bytes, hex));
        json_array_append_new(constants, shape_json(it, 0, "f32", hex));
    }
    l->identity_text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK(l->identity_text != NULL, ERR_ENV, "no memory for the identity of a feature file");
    TRY(hex_of(l->identity_text, strlen(l->identity_text), l->identity));
done:
    json_decref(o);
    return rc;
}

int feature_layout_init(feature_layout *l, const feature_spec *s)
{
    int rc = 0;
    memset(l, 0, sizeof *l);
    CHECK(s->n_datasets <= FEATURE_DATASETS_MAX && s->n_constants <= FEATURE_DATASETS_MAX,
          ERR_USAGE, "feature file: more than %d datasets", FEATURE_DATASETS_MAX);
    TRY(mem_new(&l->item, 2 * (s->n_datasets + s->n_constants + 4) + 1, sizeof *l->item,
                "feature file"));
    TRY(add_data(l, s));
    TRY(add_digests(l));
    TRY(make_identity(l, s));
done:
    if (rc < 0) feature_layout_clear(l);
    return rc;
}

void feature_layout_clear(feature_layout *l)
{
    free(l->item);
    free(l->identity_text);
    memset(l, 0, sizeof *l);
}

/* --- metadata --------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const h5_item *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Calls seen() for each stretch of the file that belongs to no item. */
static int for_gaps(uint64_t file_bytes, const h5_item *item, size_t n,
                    int (*seen)(void *arg, uint64_t from, uint64_t bytes), void *arg)
{
    int rc = 0;
    uint64_t at = 0;
    h5_item *sorted = NULL;
    TRY(mem_new(&sorted, n, sizeof *sorted, "feature file"));
    memcpy(sorted, item, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_offset);
    for (size_t i = 0; i < n; i++) {
        if (sorted[i].bytes == 0) continue;
        CHECK(sorted[i].offset >= at, ERR_INPUT, "feature file: dataset /%s overlaps another",
              sorted[i].name);
        if (sorted[i].offset > at) TRY(seen(arg, at, sorted[i].offset - at));
        at = sorted[i].offset + sorted[i].bytes;
    }
    CHECK(at <= file_bytes, ERR_INPUT, "feature file: ends before its last dataset");
    if (at < file_bytes) TRY(seen(arg, at, file_bytes - at));
done:
    free(sorted);
    return rc;
}

typedef struct gap_hash {
    int fd;
    const char *path;
    void *state;
    uint64_t complete_at;
} gap_hash;

static int hash_gap(void *arg, uint64_t from, uint64_t bytes)
{
    static const unsigned char one = 1;
    gap_hash *g = arg;
    int rc = 0;
    uint64_t head = bytes;
    if (g->complete_at >= from && g->complete_at < from + bytes && g->complete_at != 0)
        head = g->complete_at - from;
    TRY(sha256_add_file(g->state, g->fd, g->path, from, head));
    if (head < bytes) {
        TRY(sha256_add(g->state, &one, 1));
        TRY(sha256_add_file(g->state, g->fd, g->path, from + head + 1, bytes - head - 1));
    }
done:
    return rc;
}

int feature_metadata_digest(int fd, const char *path, uint64_t file_bytes, const h5_item *item,
                            size_t n, uint64_t complete_at, unsigned char out[32])
{
    int rc = 0;
    gap_hash g = {fd, path, NULL, complete_at};
    TRY(sha256_new(&g.state));
    TRY(for_gaps(file_bytes, item, n, hash_gap, &g));
    TRY(sha256_end(g.state, out));
done:
    sha256_free(&g.state);
    return rc;
}

typedef struct gap_find {
    int fd;
    const char *path;
    uint64_t at;
    int found;
} gap_find;

static int find_mark(void *arg, uint64_t from, uint64_t bytes)
{
    gap_find *f = arg;
    int rc = 0;
    unsigned char *buf = NULL, mark[8];
    for (int i = 0; i < 8; i++)
        mark[i] = (unsigned char)(COMPLETE_MARK >> (8 * i));
    TRY(mem_new(&buf, bytes, 1, f->path));
    TRY(io_pread(f->fd, f->path, buf, bytes, from));
    for (uint64_t i = 0; i + 8 <= bytes; i++)
        if (memcmp(buf + i, mark, 8) == 0) {
            f->at = from + i;
            f->found++;
        }
done:
    free(buf);
    return rc;
}

int feature_layout_create(feature_layout *l, const feature_spec *s, const char *path)
{
    static const char *const states[] = {"pending", "ok", "unreadable", "decode error",
                                         "non-finite output"};
    int rc = 0, fd = -1;
    const char *format = FEATURE_FORMAT, *identity = l->identity;
    static const unsigned char zero[8];
    gap_find find = {.path = path};
    const h5_attr fixed[] = {
        {"/", "format", 1, &format, 0},
        {"/", "format_version", 0, NULL, FEATURE_FORMAT_VERSION},
        {"/", "complete", 0, NULL, COMPLETE_MARK},
        {"/", "identity", 1, &identity, 0},
        {l->item[l->status].name, "status_names", 5, states, 0},
    };
    size_t n = sizeof fixed / sizeof fixed[0];
    h5_attr *attr = NULL;
    TRY(mem_new(&attr, n + l->n_sets + l->n_data + 1, sizeof *attr, path));
    memcpy(attr, fixed, sizeof fixed);
    for (size_t i = 0; i < l->n_sets; i++)
        if (s->datasets[i].made != NULL)
            attr[n++] = (h5_attr){l->item[i].name, "made", 1, &s->datasets[i].made, 0};
    for (size_t i = l->n_data; i < l->n - 1; i++)
        attr[n++] = (h5_attr){l->item[i].name, "block_rows", 0, NULL, DIGEST_BLOCK_ROWS};
    TRY(h5_create(path, l->item, l->n, attr, n));
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot open: %s", path, strerror(errno));
    TRY(io_size(fd, path, &l->file_bytes));
    find.fd = fd;
    TRY(for_gaps(l->file_bytes, l->item, l->n, find_mark, &find));
    CHECK(find.found == 1, ERR_INTERNAL, "%s: libhdf5 wrote the attribute `complete` %d times",
          path, find.found);
    l->complete_at = find.at;
    TRY(io_pwrite(fd, path, zero, sizeof zero, find.at));
done:
    free(attr);
    if (fd >= 0) close(fd);
    return rc;
}
