/* Tables of /probes as the methods see them: the good rows, as f32. */
#include <jansson.h>
#include <string.h>

#include "common/err.h"
#include "score/input.h"

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

void source_probe_options(const source *s, const char *probe, char *buf, size_t room)
{
    json_t *all = json_array();
    json_t *o = s->provenance != NULL ? json_loads(s->provenance, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *entry;
    size_t i;
    buf[0] = '\0';
    json_array_foreach(json_object_get(o, "probes"), i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name != NULL && strcmp(name, probe) == 0)
            json_array_append(all, json_object_get(entry, "options"));
    }
    if (json_array_size(all) > 0) {
        size_t n = json_dumpb(all, buf, room - 1, JSON_COMPACT | JSON_SORT_KEYS);
        buf[n < room ? n : room - 1] = '\0';
    }
    json_decref(all);
    json_decref(o);
}
