/* Reading the JSON of `score run`. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/err.h"
#include "common/mem.h"
#include "score/result_file.h"

enum { JSON_MOST = 256 << 20 };

static int keep(result_values *r, const char **out, const char *text)
{
    int rc = 0;
    TRY(mem_grow(&r->text, &r->room_text, r->n_text + 1, sizeof *r->text, "results"));
    TRY(mem_strdup(&r->text[r->n_text], text));
    *out = r->text[r->n_text++];
done:
    return rc;
}

static int add(result_values *r, const char *name, const char *params, const char *set,
               const char *metric, double value)
{
    int rc = 0;
    result_value *v;
    TRY(mem_grow(&r->v, &r->room, r->n + 1, sizeof *r->v, "results"));
    v = &r->v[r->n];
    *v = (result_value){.model = r->model, .metric = metric, .params = params, .value = value};
    TRY(keep(r, &v->method, name));
    TRY(keep(r, &v->set, set));
    r->n++;
done:
    return rc;
}

/* All metrics of a row or of a mean. */
static int add_metrics(result_values *r, const json_t *o, const char *where, const char *name,
                       const char *params, const char *set)
{
    int rc = 0;
    for (const metric_field *f = metric_fields; f->name != NULL; f++) {
        const json_t *v = json_object_get(o, f->name);
        if (v == NULL || json_is_null(v)) continue;
        CHECK(json_is_number(v) && json_number_value(v) >= 0 && json_number_value(v) <= 1,
              ERR_INPUT, "%s: %s: '%s' is not a number from 0 to 1", r->path, where, f->name);
        TRY(add(r, name, params, set, f->name, json_number_value(v)));
    }
done:
    return rc;
}

static int add_rows(result_values *r, const json_t *rows, const char *prefix)
{
    int rc = 0;
    char where[64], set[1100];
    CHECK(json_is_array(rows), ERR_INPUT, "%s: 'rows' is not an array", r->path);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *o = json_array_get(rows, i);
        const char *name = json_string_value(json_object_get(o, "method"));
        const char *ood = json_string_value(json_object_get(o, "ood")), *params = NULL;
        char *dump = json_dumps(json_object_get(o, "params"), JSON_COMPACT);
        snprintf(where, sizeof where, "rows[%zu]", i);
        if (dump != NULL) rc = keep(r, &params, dump);
        free(dump);
        TRY(rc);
        CHECK(name != NULL && ood != NULL && strlen(ood) < 1000, ERR_INPUT,
              "%s: %s has no 'method' and 'ood'", r->path, where);
        snprintf(set, sizeof set, "%s%s", prefix, ood);
        TRY(add_metrics(r, o, where, name, params, set));
    }
done:
    return rc;
}

static const char *params_of(const result_values *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->v[i].method, name) == 0) return r->v[i].params;
    return NULL;
}

static int add_means(result_values *r, const json_t *means, const char *prefix)
{
    int rc = 0;
    char where[64], set[40];
    CHECK(json_is_array(means), ERR_INPUT, "%s: 'mean' is not an array", r->path);
    for (size_t i = 0; i < json_array_size(means); i++) {
        const json_t *o = json_array_get(means, i);
        const char *name = json_string_value(json_object_get(o, "method"));
        const char *group = json_string_value(json_object_get(o, "group"));
        snprintf(where, sizeof where, "mean[%zu]", i);
        CHECK(name != NULL && (group == NULL || strlen(group) < 10), ERR_INPUT,
              "%s: %s has no 'method'", r->path, where);
        snprintf(set, sizeof set, "%s%s%smean", prefix, group ? group : "", group ? " " : "");
        TRY(add_metrics(r, o, where, name, params_of(r, name), set));
    }
done:
    return rc;
}

static int add_all(result_values *r, const json_t *o, const char *prefix)
{
    int rc = 0;
    char set[20];
    const json_t *accuracy = json_object_get(o, "id_accuracy");
    snprintf(set, sizeof set, "%sid", prefix);
    CHECK(accuracy == NULL || json_is_null(accuracy) ||
              (json_number_value(accuracy) >= 0 && json_number_value(accuracy) <= 1),
          ERR_INPUT, "%s: 'id_accuracy' is not a number from 0 to 1", r->path);
    if (json_is_number(accuracy))
        TRY(add(r, "", NULL, set, "accuracy", json_number_value(accuracy)));
    TRY(add_rows(r, json_object_get(o, "rows"), prefix));
    TRY(add_means(r, json_object_get(o, "mean"), prefix));
done:
    return rc;
}

int result_values_read_json(result_values *r, const char *path)
{
    int rc = 0;
    json_t *o = NULL;
    json_error_t why;
    struct stat st;
    const char *format, *model;
    TRY(mem_strdup(&r->path, path));
    CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode), ERR_INPUT, "%s: No such file", path);
    CHECK(st.st_size <= JSON_MOST, ERR_INPUT, "%s: too large for results", path);
    o = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    CHECK(o != NULL, ERR_INPUT, "%s: not JSON: line %d: %s", path, why.line, why.text);
    format = json_string_value(json_object_get(o, "format"));
    CHECK(format != NULL && strcmp(format, "outpost-results") == 0 &&
              json_integer_value(json_object_get(o, "version")) == 1,
          ERR_INPUT,
          "%s: not results of `score run --json` (format \"outpost-results\", version 1)", path);
    model = json_string_value(json_object_get(o, "model"));
    if (model != NULL) TRY(mem_strdup(&r->model, model));
    TRY(add_all(r, o, ""));
    if (json_is_object(json_object_get(o, "full_spectrum")))
        TRY(add_all(r, json_object_get(o, "full_spectrum"), "full "));
done:
    json_decref(o);
    return rc;
}

void result_values_clear(result_values *r)
{
    for (size_t i = 0; i < r->n_text; i++)
        free(r->text[i]);
    free(r->text);
    free(r->v);
    free(r->path);
    free(r->model);
    memset(r, 0, sizeof *r);
}
