#include "score/stats/tables.h"
#include "common/err.h"
#include "score/stats/rows.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const source_table *table_at(const source *s, const char *format, ...)
{
    char name[TABLE_NAME];
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    return source_table_find(s, name);
}

int table_lacks(const source *s, const char *name, const char *probe, char *why, size_t room)
{
    if (source_table_find(s, name) != NULL) return 0;
    snprintf(why, room, "set '%s' has no /probes/%s (extract with --probe %s)", s->name, name, probe);
    return 1;
}

const char *table_number(double v, char buf[32])
{
    for (int digits = 1; digits <= 17; digits++) { /* as extract/probes/options.c */
        snprintf(buf, 32, "%.*g", digits, v);
        if (strtof(buf, NULL) == (float)v && (strchr(buf, 'e') == NULL || fabs(v) < 1e-5 || fabs(v) > 1e7))
            break;
    }
    return buf;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

void table_take_layers(const source *s, const char *prefix, table_layers *out)
{
    size_t n = strlen(prefix);
    out->n = 0;
    for (size_t i = 0; i < s->n_tables && out->n < TABLE_LAYERS; i++) {
        const char *layer = s->tables[i].name + n;
        if (strncmp(s->tables[i].name, prefix, n) != 0 || strlen(layer) >= LAYER_NAME) continue;
        if (ends_with(layer, ":activation") || ends_with(layer, ":gradient") || ends_with(layer, ":channels"))
            continue;
        snprintf(out->name[out->n++], LAYER_NAME, "%s", layer);
    }
}

int table_split_layers(const char *text, table_layers *out)
{
    out->n = 0;
    for (;;) {
        size_t k = strcspn(text, "/");
        if (k == 0 || k >= LAYER_NAME || out->n == TABLE_LAYERS) return 0;
        snprintf(out->name[out->n++], LAYER_NAME, "%.*s", (int)k, text);
        if (text[k] == '\0') return 1;
        text += k + 1;
    }
}

int table_rows(const source *s, const char *name, size_t width, size_t begin, size_t n, float *buffer,
               const float **v)
{
    int rc = 0;
    const source_table *t = source_table_find(s, name);
    CHECK(t != NULL, ERR_INPUT, "%s (%s): no /probes/%s", s->name, s->path, name);
    CHECK(width == 0 || t->width == width, ERR_INPUT,
          "%s (%s): /probes/%s has %zu values a row, another set has %zu", s->name, s->path, name, t->width,
          width);
    TRY(source_table_rows(s, t, begin, n, buffer, v));
    TRY(rows_check_finite(s, begin, n, t->width, *v, name));
done:
    return rc;
}

int block_table(const score_block *b, int which, const char *name, size_t width, const float **v)
{
    int rc = 0;
    const source_table *t = source_table_find(b->set, name);
    float *buffer = NULL;
    if (t != NULL) TRY(block_work(b, which, b->n * t->width, &buffer));
    TRY(table_rows(b->set, name, width, b->row, b->n, buffer, v));
done:
    return rc;
}
