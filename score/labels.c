/* Labels from beside the features: GEN reads them out of the train list. */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/list.h"
#include "common/mem.h"
#include "score/input.h"

/* Two spellings of one image: equal, or the shorter is the end of the longer after a '/'. */
static int same_image(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na < nb) {
        const char *swap = a;
        size_t n = na;
        a = b;
        b = swap;
        na = nb;
        nb = n;
    }
    return nb > 0 && strcmp(a + na - nb, b) == 0 && (na == nb || a[na - nb - 1] == '/');
}

static int compare_paths(const source *s, const list *l, const char *file)
{
    int rc = 0;
    char buf[4096];
    for (size_t i = 0; i < s->n; i++) {
        const char *path = source_row_path(s, i, buf, sizeof buf);
        const char *want = l->path[source_row_of_file(s, i)];
        CHECK(*path == '\0' || same_image(path, want), ERR_INPUT,
              "%s: row %zu is '%s', but %s has '%s' there; --force takes the labels anyway", s->path,
              source_row_of_file(s, i), path, file, want);
    }
done:
    return rc;
}

/* Replaces labels, and the paths when the file of features has none. */
static int adopt(source *s, const int64_t *all, const list *l)
{
    int rc = 0;
    rows *r = s->impl;
    char buf[8];
    size_t known = 0;
    if (r->labels == NULL) TRY(mem_new(&r->labels, s->n, sizeof *r->labels, s->path));
    for (size_t i = 0; i < s->n; i++) {
        int64_t v = all[source_row_of_file(s, i)];
        r->labels[i] = v < 0 ? -1 : v;
        known += v >= 0;
    }
    CHECK(known > 0, ERR_INPUT, "%s: no label of a good row of %s is known there",
          l != NULL ? l->name : "labels", s->path);
    s->labels = r->labels;
    if (l == NULL || r->paths != NULL || *source_row_path(s, 0, buf, sizeof buf)) goto done;
    TRY(mem_new(&r->paths, s->n, sizeof *r->paths, s->path));
    for (size_t i = 0; i < s->n; i++)
        TRY(mem_strdup(&r->paths[i], l->path[source_row_of_file(s, i)]));
done:
    return rc;
}

int source_use_labels(source *s, const char *file, int force)
{
    int rc = 0, binary;
    input *in = NULL;
    list *l = NULL;
    int64_t *all = NULL;
    size_t n;
    TRY(binary = input_is_binary(file));
    rc = 0;
    if (binary) {
        TRY(input_open(&in, file));
        CHECK(in->labels.data != NULL, ERR_INPUT,
              "%s: no labels in it ('labels', 'label_list', or one row of integers)", file);
        n = in->labels.rows;
        TRY(mem_new(&all, n, sizeof *all, file));
        TRY(matrix_to_i64(&in->labels, file, all));
    } else {
        TRY(list_read(&l, file, LIST_AUTO));
        n = l->n;
    }
    CHECK(n == source_rows_of_file(s), ERR_INPUT, "%s has %zu labels, %s has %zu rows", file, n,
          s->path, source_rows_of_file(s));
    if (l != NULL && !force) TRY(compare_paths(s, l, file));
    TRY(adopt(s, l != NULL ? l->label : all, l));
done:
    input_close(&in);
    list_free(&l);
    free(all);
    return rc;
}
