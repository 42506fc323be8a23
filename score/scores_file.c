/* --scores F.h5: what every method said of every image. */
#include "score/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/h5.h"
#include "common/mem.h"
#include "score/outfile.h"

enum { PATH_ROOM = 65536, FIXED = 4 };

typedef struct writer {
    const char *path;
    int fd;
    h5_item *item;
    size_t n_items, rows;
    char *row_path; /* [PATH_ROOM] */
} writer;

static int put(const writer *w, const h5_item *item, size_t row, const void *data, size_t n)
{
    int rc = 0;
    const char *p = data;
    size_t left = n * item->width;
    off_t at = (off_t)(item->offset + row * item->width);
    while (left > 0) {
        ssize_t k = pwrite(w->fd, p, left, at);
        if (k < 0 && errno == EINTR) continue;
        CHECK(k > 0, ERR_ENV, "cannot write %s: %s", w->path, strerror(k < 0 ? errno : ENOSPC));
        p += k;
        at += k;
        left -= (size_t)k;
    }
done:
    return rc;
}

/* Longest path of all rows, and longest name of a set; at least 1. */
static void widths(const run_inputs *in, char *buf, size_t *path, size_t *set)
{
    *path = *set = 1;
    for (size_t s = 0; s < run_test_sets(in); s++) {
        const char *name;
        const source *src = run_test_set(in, s, &name);
        size_t n = strlen(name);
        if (n > *set) *set = n;
        for (size_t i = 0; i < src->n; i++) {
            n = strlen(source_row_path(src, i, buf, PATH_ROOM));
            if (n > *path) *path = n;
        }
    }
}

static void describe(writer *w, size_t k, const char *name, enum h5_type type, size_t width)
{
    h5_item *item = &w->item[k];
    snprintf(item->name, sizeof item->name, "%s", name);
    item->type = type;
    item->width = width;
    item->rank = 1;
    item->dim[0] = w->rows;
}

static int describe_all(writer *w, const run_inputs *in, const results *r)
{
    int rc = 0;
    size_t path, set, k = FIXED;
    char name[H5_NAME_ROOM];
    widths(in, w->row_path, &path, &set);
    describe(w, 0, "path", H5_TYPE_STRING, path);
    describe(w, 1, "set", H5_TYPE_STRING, set);
    describe(w, 2, "label", H5_TYPE_I64, 8);
    describe(w, 3, "prediction", H5_TYPE_I64, 8);
    for (size_t i = 0; i < r->n_methods; i++) {
        if (r->method[i].skipped != NULL) continue;
        CHECK(snprintf(name, sizeof name, "scores/%s", r->method[i].label) < (int)sizeof name,
              ERR_USAGE, "'%s' is too long a name for a dataset", r->method[i].label);
        describe(w, k++, name, H5_TYPE_F32, 4);
    }
    w->n_items = k;
    for (size_t i = 0; i < k; i++)
        TRY(h5_item_size(&w->item[i]));
done:
    return rc;
}

/* The rows of one set, from row `at` on. */
static int put_set(writer *w, const run_inputs *in, size_t s, size_t at, const method_use *uses,
                   const results *r, const int64_t *predictions)
{
    int rc = 0;
    const char *name;
    const source *src = run_test_set(in, s, &name);
    size_t path_width = w->item[0].width, set_width = w->item[1].width, k = FIXED, bytes;
    int64_t *label = NULL;
    char *text = NULL, *set = NULL;
    TRY(mem_product(&bytes, src->n, path_width, w->path));
    TRY(mem_new(&text, bytes, 1, w->path));
    TRY(mem_new(&set, src->n, set_width, w->path));
    TRY(mem_new(&label, src->n, sizeof *label, w->path));
    for (size_t i = 0; i < src->n; i++) {
        const char *p = source_row_path(src, i, w->row_path, PATH_ROOM);
        memcpy(text + i * path_width, p, strlen(p));
        memcpy(set + i * set_width, name, strlen(name));
        label[i] = src->labels != NULL ? src->labels[i] : -1;
    }
    TRY(put(w, &w->item[0], at, text, src->n));
    TRY(put(w, &w->item[1], at, set, src->n));
    TRY(put(w, &w->item[2], at, label, src->n));
    TRY(put(w, &w->item[3], at, predictions + at, src->n));
    for (size_t i = 0; i < r->n_methods; i++)
        if (r->method[i].skipped == NULL)
            TRY(put(w, &w->item[k++], at, uses[i].scores[s], src->n));
done:
    free(label);
    free(set);
    free(text);
    return rc;
}

int scores_file_write(const char *path, const run_inputs *in, const method_use *uses, size_t n_uses,
                      const results *r, const int64_t *predictions)
{
    static const char *const format[] = { "outpost-scores" };
    const char *const device[] = { r->device };
    const h5_attr attrs[] = { { "/", "format", 1, format, 0 },
                              { "/", "format_version", 0, NULL, 1 },
                              { "/", "device", 1, device, 0 } };
    int rc = 0;
    writer w = { .path = path, .fd = -1 };
    char *temp = NULL;
    const char *name;
    for (size_t s = 0; s < run_test_sets(in); s++)
        w.rows += run_test_set(in, s, &name)->n;
    TRY(mem_new(&w.row_path, PATH_ROOM, 1, path));
    TRY(mem_new(&w.item, FIXED + n_uses, sizeof *w.item, path));
    TRY(describe_all(&w, in, r));
    TRY(outfile_temp_name(&temp, path));
    unlink(temp);
    TRY(h5_create(temp, w.item, w.n_items, attrs, r->device != NULL ? 3 : 2));
    w.fd = open(temp, O_WRONLY | O_CLOEXEC);
    CHECK(w.fd >= 0, ERR_ENV, "cannot write %s: %s", path, strerror(errno));
    for (size_t s = 0, at = 0; s < run_test_sets(in); at += run_test_set(in, s, &name)->n, s++)
        TRY(put_set(&w, in, s, at, uses, r, predictions));
    CHECK(fsync(w.fd) == 0, ERR_ENV, "cannot write %s: %s", path, strerror(errno));
    CHECK(rename(temp, path) == 0, ERR_ENV, "cannot rename %s to %s: %s", temp, path,
          strerror(errno));
    free(temp);
    temp = NULL;
done:
    if (w.fd >= 0) close(w.fd);
    if (temp != NULL) unlink(temp);
    free(temp);
    free(w.item);
    free(w.row_path);
    return rc;
}
