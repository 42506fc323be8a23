#include "score/source.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "score/input.h"

/* ---- rows ------------------------------------------------------------------------------------- */

size_t source_row_of_file(const source *s, size_t i)
{
    const rows *r = s->impl;
    return r->keep != NULL ? r->keep[i] : i;
}

size_t source_rows_of_file(const source *s)
{
    return ((const rows *)s->impl)->in->rows;
}

static int read_rows(const source *s, const matrix *m, size_t begin, size_t n, float *buffer,
                     const float **v)
{
    int rc = 0;
    size_t first;
    CHECK(m->data != NULL && begin <= s->n && n <= s->n - begin, ERR_INTERNAL,
          "%s: rows %zu+%zu of %zu asked for", s->path, begin, n, m->data ? s->n : 0);
    *v = buffer;
    if (n == 0) goto done;
    first = source_row_of_file(s, begin);
    if (m->type == ARRAY_F32 && source_row_of_file(s, begin + n - 1) - first == n - 1) {
        *v = (const float *)m->data + first * m->width; /* contiguous in the file */
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        matrix_row(m, source_row_of_file(s, begin + i), buffer + i * m->width);
done:
    return rc;
}

int source_features(const source *s, size_t begin, size_t n, float *buffer, const float **v)
{
    return read_rows(s, &((const rows *)s->impl)->in->features, begin, n, buffer, v);
}

int source_logits(const source *s, size_t begin, size_t n, float *buffer, const float **v)
{
    return read_rows(s, &((const rows *)s->impl)->in->logits, begin, n, buffer, v);
}

void source_forget(const source *s, size_t begin, size_t n)
{
    const input *in = ((const rows *)s->impl)->in;
    size_t a, b;
    if (in->file == NULL || n == 0) return;
    a = source_row_of_file(s, begin);
    b = source_row_of_file(s, begin + n - 1) + 1;
    if (in->features.table != NULL) feature_file_forget(in->file, in->features.table, a, b);
    if (in->logits.table != NULL) feature_file_forget(in->file, in->logits.table, a, b);
    for (size_t i = 0; i < in->n_tables; i++)
        feature_file_forget(in->file, in->tables[i].impl, a, b);
}

const char *source_row_path(const source *s, size_t i, char *buf, size_t room)
{
    const rows *r = s->impl;
    if (r->in->file != NULL && feature_file_paths(r->in->file) == r->in->rows)
        return feature_file_path(r->in->file, source_row_of_file(s, i), buf, room);
    return r->paths != NULL ? r->paths[i] : "";
}

/* ---- opening and closing ---------------------------------------------------------------------- */

void source_close(source **ps)
{
    source *s = *ps;
    rows *r = s != NULL ? s->impl : NULL;
    if (r != NULL) {
        input_close(&r->in);
        for (size_t i = 0; r->paths != NULL && i < s->n; i++)
            free(r->paths[i]);
        free(r->paths);
        free(r->keep);
        free(r->labels);
        free(r->name);
        free(r->path);
        free(r);
    }
    free(s);
    *ps = NULL;
}

/* A source with names and no data yet. */
static int begin_source(source **out, const char *name, const char *path)
{
    int rc = 0;
    source *s = NULL;
    rows *r;
    TRY(mem_new(&s, 1, sizeof *s, name));
    TRY(mem_new(&r, 1, sizeof *r, name));
    s->impl = r;
    TRY(mem_strdup(&r->name, name));
    TRY(mem_strdup(&r->path, path));
    s->name = r->name;
    s->path = r->path;
    *out = s;
    s = NULL;
done:
    source_close(&s);
    return rc;
}

/* Keeps the rows whose status is ok. */
static int drop_bad_rows(source *s, rows *r)
{
    int rc = 0;
    const input *in = r->in;
    size_t good = 0, k = 0;
    s->n = in->rows;
    if (in->status == NULL) goto done;
    for (size_t i = 0; i < in->rows; i++)
        good += in->status[i] == ROW_OK;
    CHECK(good > 0, ERR_INPUT, "%s: none of its %zu rows is good", s->path, in->rows);
    if (good == in->rows) goto done;
    TRY(mem_new(&r->keep, good, sizeof *r->keep, s->path));
    for (size_t i = 0; i < in->rows; i++)
        if (in->status[i] == ROW_OK) r->keep[k++] = (uint32_t)i;
    s->n = good;
done:
    return rc;
}

/* Labels of the good rows out of all labels of the file; -1 and below: unknown. */
static int keep_labels(source *s, rows *r, const int64_t *all)
{
    int rc = 0;
    int64_t *kept = NULL;
    size_t known = 0;
    TRY(mem_new(&kept, s->n, sizeof *kept, s->path));
    for (size_t i = 0; i < s->n; i++) {
        kept[i] = all[source_row_of_file(s, i)];
        if (kept[i] < 0) kept[i] = -1;
        else known++;
    }
    free(r->labels);
    r->labels = NULL;
    s->labels = NULL;
    if (known > 0) {
        s->labels = r->labels = kept;
        kept = NULL;
    }
done:
    free(kept);
    return rc;
}

int source_open(source **out, const char *name, const char *path)
{
    int rc = 0;
    source *s = NULL;
    int64_t *all = NULL;
    rows *r;
    TRY(begin_source(&s, name, path));
    r = s->impl;
    TRY(input_open(&r->in, path));
    CHECK(r->in->features.data != NULL || r->in->logits.data != NULL, ERR_INPUT,
          "%s: no features and no logits in it%s", path,
          r->in->weight.data != NULL ? " (a head only: give it to --head)" : "");
    memcpy(s->sha256, r->in->sha256, sizeof s->sha256);
    s->d = r->in->features.data != NULL ? r->in->features.width : 0;
    s->c = r->in->logits.data != NULL ? r->in->logits.width : 0;
    s->tables = r->in->tables;
    s->n_tables = r->in->n_tables;
    s->provenance = r->in->provenance;
    TRY(drop_bad_rows(s, r));
    if (r->in->labels.data != NULL) {
        TRY(mem_new(&all, r->in->rows, sizeof *all, path));
        TRY(matrix_to_i64(&r->in->labels, path, all));
        TRY(keep_labels(s, r, all));
    }
    *out = s;
    s = NULL;
done:
    free(all);
    source_close(&s);
    return rc;
}

int source_of_memory(source **out, const char *name, size_t n, size_t d, const float *features,
                     size_t c, const float *logits, const int64_t *labels)
{
    int rc = 0;
    source *s = NULL;
    rows *r;
    TRY(begin_source(&s, name, "memory"));
    r = s->impl;
    TRY(mem_new(&r->in, 1, sizeof *r->in, name));
    r->in->rows = s->n = n;
    s->d = features != NULL ? d : 0;
    s->c = logits != NULL ? c : 0;
    r->in->features = (matrix){ .type = ARRAY_F32, .rows = n, .width = d, .data = features };
    r->in->logits = (matrix){ .type = ARRAY_F32, .rows = n, .width = c, .data = logits };
    if (labels != NULL) TRY(keep_labels(s, r, labels));
    *out = s;
    s = NULL;
done:
    source_close(&s);
    return rc;
}

const char *source_provenance(const source *s)
{
    return ((const rows *)s->impl)->in->provenance;
}

/* ---- checks ----------------------------------------------------------------------------------- */

/* An f32 whose exponent is all ones is NaN or infinite.  Integers, so that it vectorises. */
static int row_is_bad(const float *v, size_t n)
{
    uint32_t bad = 0;
#pragma omp simd reduction(| : bad)
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, v + i, sizeof u);
        bad |= (u & UINT32_C(0x7f800000)) == UINT32_C(0x7f800000);
    }
    return bad != 0;
}

typedef int reader(const source *, size_t, size_t, float *, const float **);

static int check_finite(const source *s, reader *read, size_t width, const char *what)
{
    enum { BLOCK = 4096 };
    int rc = 0;
    size_t bad = 0, first = SIZE_MAX;
    char path[512];
    float *buffer = NULL;
    TRY(mem_new_aligned(&buffer, BLOCK * width, sizeof *buffer, s->path));
    for (size_t at = 0; at < s->n; at += BLOCK) {
        size_t n = s->n - at < BLOCK ? s->n - at : BLOCK;
        const float *v;
        TRY(read(s, at, n, buffer, &v));
#pragma omp parallel for reduction(+ : bad) reduction(min : first) schedule(static)
        for (size_t i = 0; i < n; i++) {
            if (!row_is_bad(v + i * width, width)) continue;
            bad++;
            if (at + i < first) first = at + i;
        }
        source_forget(s, at, n);
    }
    CHECK(bad == 0, ERR_INPUT,
          "%s (%s): NaN or infinite values in the %s of %zu of %zu rows, the first is row %zu%s%s",
          s->name, s->path, what, bad, s->n, source_row_of_file(s, first),
          *source_row_path(s, first, path, sizeof path) ? ": " : "",
          source_row_path(s, first, path, sizeof path));
done:
    free(buffer);
    return rc;
}

int source_check_finite(const source *s, int logits)
{
    int rc = 0;
    if (s->d > 0) TRY(check_finite(s, source_features, s->d, "features"));
    if (s->c > 0 && (logits || s->d == 0)) TRY(check_finite(s, source_logits, s->c, "logits"));
done:
    return rc;
}

int source_check_labels(const source *s, size_t classes)
{
    int rc = 0;
    for (size_t i = 0; s->labels != NULL && i < s->n; i++)
        CHECK(s->labels[i] < 0 || (uint64_t)s->labels[i] < classes, ERR_INPUT,
              "%s (%s): row %zu has label %lld, there are %zu classes", s->name, s->path,
              source_row_of_file(s, i), (long long)s->labels[i], classes);
done:
    return rc;
}
