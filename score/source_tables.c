/* Tables of /probes as the methods see them: the good rows, as f32. */
#include "common/err.h"
#include "score/input.h"

#include <string.h>

const source_table *source_table_find(const source *s, const char *name)
{
    for (size_t i = 0; i < s->n_tables; i++)
        if (strcmp(s->tables[i].name, name) == 0) return &s->tables[i];
    return NULL;
}

int source_table_rows(const source *s, const source_table *t, size_t begin, size_t n, float *buffer,
                      const float **v)
{
    int rc = 0;
    const rows *r = s->impl;
    const feature_table *f = t->impl;
    const matrix m = { .type = f->type == FEATURE_F16 ? ARRAY_F16 : ARRAY_F32, .rows = f->dim[0],
                       .width = t->width, .data = f->data, .table = f, .name = f->name };
    size_t first, last;
    CHECK(begin <= s->n && n <= s->n - begin, ERR_INTERNAL, "%s: rows %zu+%zu of %zu asked for", s->path,
          begin, n, s->n);
    *v = buffer;
    if (n == 0) goto done;
    first = r->keep != NULL ? r->keep[begin] : begin;
    last = r->keep != NULL ? r->keep[begin + n - 1] : begin + n - 1;
    CHECK(last < f->dim[0], ERR_INPUT, "%s: '%s' has %zu rows, row %zu is asked for", s->path, f->name,
          f->dim[0], last);
    if (m.type == ARRAY_F32 && last - first == n - 1) {
        *v = (const float *)m.data + first * m.width;
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        matrix_row(&m, r->keep != NULL ? r->keep[begin + i] : begin + i, buffer + i * m.width);
done:
    return rc;
}
