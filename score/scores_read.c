/* Reading --scores of `score run`: only files as this program writes them, contiguous and whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/h5.h"
#include "common/mem.h"
#include "score/result_file.h"

int result_file_is_hdf5(const char *path)
{
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char head[8];
    int rc = 0;
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL, ERR_INPUT, "%s: %s", path, strerror(errno));
    n = fread(head, 1, sizeof head, f);
    rc = n == sizeof head && memcmp(head, magic, sizeof head) == 0;
done:
    if (f != NULL) fclose(f);
    return rc;
}

static int read_item(const h5_item *item, int fd, const char *path, void *out)
{
    int rc = 0;
    char *to = out;
    size_t left = (size_t)item->bytes;
    off_t at = (off_t)item->offset;
    CHECK(item->direct, ERR_INPUT, "%s: '%s' is not stored as `score run` stores it", path,
          item->name);
    while (left > 0) {
        ssize_t k = pread(fd, to, left, at);
        if (k < 0 && errno == EINTR) continue;
        CHECK(k > 0, ERR_INPUT, "%s: '%s' cannot be read", path, item->name);
        to += k;
        at += k;
        left -= (size_t)k;
    }
done:
    return rc;
}

static const h5_item *item_of(const h5_listing *l, const char *name, enum h5_type type)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->item[i].name, name) == 0 && l->item[i].type == type && l->item[i].rank == 1 &&
            l->item[i].dim[0] > 0)
            return &l->item[i];
    return NULL;
}

static int add_set(scores *s, const char *name, size_t width, size_t row)
{
    int rc = 0;
    size_t n = strnlen(name, width);
    scores_set *last = s->n_sets > 0 ? &s->set[s->n_sets - 1] : NULL;
    scores_set *more;
    if (last != NULL && strlen(last->name) == n && memcmp(last->name, name, n) == 0) {
        last->n++;
        return 0;
    }
    for (size_t i = 0; i < s->n_sets; i++)
        CHECK(strlen(s->set[i].name) != n || memcmp(s->set[i].name, name, n) != 0, ERR_INPUT,
              "%s: row %zu: set '%s' in two places", s->path, row, s->set[i].name);
    CHECK(s->n_sets < 10000, ERR_INPUT, "%s: more than 10000 sets", s->path);
    more = realloc(s->set, (s->n_sets + 1) * sizeof *more);
    CHECK(more != NULL, ERR_ENV, "%s: no memory", s->path);
    s->set = more;
    s->set[s->n_sets] = (scores_set){NULL, row, 1};
    TRY(mem_new(&s->set[s->n_sets].name, n + 1, 1, s->path));
    memcpy(s->set[s->n_sets++].name, name, n);
done:
    return rc;
}

static int read_sets(scores *s, const h5_listing *l, int fd)
{
    int rc = 0;
    char *names = NULL;
    const h5_item *set = item_of(l, "set", H5_TYPE_STRING),
                  *path = item_of(l, "path", H5_TYPE_STRING);
    CHECK(set != NULL && path != NULL && set->dim[0] == path->dim[0], ERR_INPUT,
          "%s: no 'set' and 'path' of equal length", s->path);
    s->n = set->dim[0];
    s->image_width = path->width;
    TRY(mem_new(&names, (size_t)set->bytes, 1, s->path));
    TRY(mem_new(&s->image, (size_t)path->bytes, 1, s->path));
    TRY(read_item(set, fd, s->path, names));
    TRY(read_item(path, fd, s->path, s->image));
    for (size_t i = 0; i < s->n; i++)
        TRY(add_set(s, names + i * set->width, set->width, i));
    CHECK(strcmp(s->set[0].name, "id") == 0 && s->n_sets > 1, ERR_INPUT,
          "%s: not an ID set and OOD sets behind it", s->path);
done:
    free(names);
    return rc;
}

static int read_methods(scores *s, const h5_listing *l, int fd)
{
    int rc = 0;
    TRY(mem_new(&s->method, l->n, sizeof *s->method, s->path));
    TRY(mem_new(&s->score, l->n, sizeof *s->score, s->path));
    for (size_t i = 0; i < l->n; i++) {
        const h5_item *item = &l->item[i];
        size_t k = s->n_methods;
        if (strncmp(item->name, "scores/", 7) != 0 || item->type != H5_TYPE_F32) continue;
        CHECK(item->rank == 1 && item->dim[0] == s->n, ERR_INPUT, "%s: '%s' has not %zu rows",
              s->path, item->name, s->n);
        s->n_methods++;
        TRY(mem_strdup(&s->method[k], item->name + 7));
        TRY(mem_new_aligned(&s->score[k], s->n, sizeof **s->score, s->path));
        TRY(read_item(item, fd, s->path, s->score[k]));
    }
    CHECK(s->n_methods > 0, ERR_INPUT, "%s: no scores in it", s->path);
done:
    return rc;
}

int scores_read(scores *s, const char *path)
{
    int rc = 0, fd;
    h5_listing *l = NULL;
    TRY(mem_strdup(&s->path, path));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    rc = h5_list(&l, fd, path);
    if (rc == 0 && (strcmp(l->format, "outpost-scores") != 0 || l->format_version != 1))
        rc = err_set(ERR_INPUT, "%s: not scores of `score run --scores`", path);
    if (rc == 0) rc = read_sets(s, l, fd);
    if (rc == 0) rc = read_methods(s, l, fd);
    close(fd);
done:
    free(l);
    return rc;
}

void scores_clear(scores *s)
{
    for (size_t i = 0; i < s->n_sets; i++)
        free(s->set[i].name);
    for (size_t i = 0; i < s->n_methods; i++) {
        free(s->method[i]);
        free(s->score[i]);
    }
    free(s->set);
    free(s->method);
    free(s->score);
    free(s->image);
    free(s->path);
    memset(s, 0, sizeof *s);
}
