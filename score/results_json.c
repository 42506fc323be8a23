/* The results as JSON (docs/results.md). */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "score/results.h"

/* A value that could not be made, or stored, is remembered: a key must not be missing in silence. */
typedef struct maker {
    int failed;
} maker;

static void put(maker *k, json_t *o, const char *key, json_t *v)
{
    if (v == NULL || json_object_set_new(o, key, v) != 0) k->failed = 1;
}

static void append(maker *k, json_t *a, json_t *v)
{
    if (v == NULL || json_array_append_new(a, v) != 0) k->failed = 1;
}

/* A string whatever its bytes: control bytes and what is not UTF-8 become \xNN. */
static json_t *text(const char *s)
{
    static const char hex[] = "0123456789abcdef";
    json_t *j;
    char *copy, *q;
    if (s == NULL) return json_null();
    j = json_string(s);
    if (j != NULL) return j;
    copy = q = malloc(4 * strlen(s) + 1);
    if (copy == NULL) return NULL;
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c >= 0x20 && c < 0x7f) {
            *q++ = (char)c;
            continue;
        }
        *q++ = '\\';
        *q++ = 'x';
        *q++ = hex[c >> 4];
        *q++ = hex[c & 15];
    }
    *q = '\0';
    j = json_string(copy);
    free(copy);
    return j;
}

/* An option's value: a number where all of it is one. */
static json_t *value(const char *s)
{
    char *end;
    long long i = strtoll(s, &end, 10);
    double d;
    if (*s != '\0' && *end == '\0') return json_integer(i);
    d = strtod(s, &end);
    if (*s != '\0' && *end == '\0' && isfinite(d)) return json_real(d);
    return text(s);
}

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *count(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *params(maker *k, const method_params *p)
{
    json_t *o = json_object();
    if (p == NULL || p->opts == NULL) return o;
    for (size_t i = 0; p->opts[i].name != NULL; i++)
        if (p->value[i] != NULL) put(k, o, p->opts[i].name, value(p->value[i]));
    return o;
}

static json_t *pair(maker *k, interval i)
{
    json_t *a;
    if (isnan(i.lo) || isnan(i.hi)) return json_null();
    a = json_array();
    append(k, a, json_real(i.lo));
    append(k, a, json_real(i.hi));
    return a;
}

static json_t *row(maker *k, const results *r, const result_method *m, size_t s)
{
    json_t *o = json_object();
    char key[64];
    put(k, o, "method", text(m->label));
    put(k, o, "params", params(k, m->params));
    put(k, o, "ood", text(r->ood[s].name));
    put(k, o, "group", text(r->ood[s].group));
    for (size_t f = 0; f < METRIC_COUNT; f++) {
        put(k, o, metric_fields[f].name, number(metric_value(&m->m[s], &metric_fields[f])));
        if (f > 0 && r->bootstrap == 0) continue;
        snprintf(key, sizeof key, "%s_ci", metric_fields[f].name);
        put(k, o, key, pair(k, m->ci[s * METRIC_COUNT + f]));
    }
    put(k, o, "n_id", count(r->n_id));
    put(k, o, "n_ood", count(r->ood[s].n));
    put(k, o, "seconds", number(m->fit_seconds + m->score_seconds));
    put(k, o, "peak_bytes", count(m->peak_bytes));
    return o;
}

static json_t *mean(maker *k, const results *r, const result_method *m, size_t which)
{
    json_t *o = json_object();
    put(k, o, "method", text(m->label));
    put(k, o, "group", text(result_groups[which]));
    for (const metric_field *f = metric_fields; f->name != NULL; f++) {
        put(k, o, f->name, number(results_mean(r, m, f, result_groups[which])));
        if (f == metric_fields) put(k, o, "auroc_ci", pair(k, m->mean_ci[which]));
    }
    return o;
}

static void add_methods(maker *k, const results *r, json_t *rows, json_t *means,
                        json_t *skipped)
{
    for (size_t i = 0; i < r->n_methods; i++) {
        const result_method *m = &r->method[i];
        if (m->skipped != NULL) {
            json_t *o = json_object();
            put(k, o, "method", text(m->label));
            put(k, o, "reason", text(m->skipped));
            append(k, skipped, o);
            continue;
        }
        for (size_t s = 0; s < r->n_ood; s++)
            append(k, rows, row(k, r, m, s));
        for (size_t g = 0; g < RESULT_MEANS; g++)
            if (!isnan(results_mean(r, m, metric_fields, result_groups[g])))
                append(k, means, mean(k, r, m, g));
    }
}

static json_t *accuracy(const results *r)
{
    return r->counted > 0 ? json_real((double)r->correct / (double)r->counted) : json_null();
}

/* Rows, means and accuracy with the csID sets joined to the ID set. */
static json_t *full_spectrum(maker *k, const results *r)
{
    json_t *o, *rows, *means, *skipped, *names;
    if (r->full == NULL) return json_null();
    o = json_object();
    rows = json_array();
    means = json_array();
    skipped = json_array();
    names = json_array();
    add_methods(k, r->full, rows, means, skipped);
    for (size_t i = 0; i < r->n_csid; i++)
        append(k, names, text(r->csid[i]));
    put(k, o, "csid", names);
    put(k, o, "rows", rows);
    put(k, o, "mean", means);
    put(k, o, "id_accuracy", accuracy(r->full));
    json_decref(skipped);
    return o;
}

static json_t *bootstrap(maker *k, const results *r)
{
    json_t *o;
    if (r->bootstrap == 0) return json_null();
    o = json_object();
    put(k, o, "replicates", count(r->bootstrap));
    put(k, o, "seed", count((size_t)r->seed));
    return o;
}

static json_t *inputs(maker *k, const results *r)
{
    json_t *a = json_array();
    for (size_t i = 0; i < r->n_inputs; i++) {
        const result_input *in = &r->input[i];
        json_t *o = json_object();
        put(k, o, "role", text(in->role));
        put(k, o, "name", text(in->name));
        put(k, o, "path", text(in->path));
        put(k, o, "sha256", text(in->sha256));
        put(k, o, "rows", count(in->rows));
        put(k, o, "left_out", count(in->left_out));
        append(k, a, o);
    }
    return a;
}

int results_write_json(FILE *f, const results *r)
{
    int rc = 0;
    json_t *o = json_object(), *rows = json_array(), *means = json_array(), *skipped = json_array();
    char *dump = NULL;
    maker made = { 0 }, *k = &made;
    add_methods(k, r, rows, means, skipped);
    put(k, o, "format", json_string("outpost-results"));
    put(k, o, "version", json_integer(1));
    put(k, o, "outpost", json_string(OUTPOST_VERSION));
    put(k, o, "model", text(r->model));
    put(k, o, "device", text(r->device));
    put(k, o, "rows", rows);
    put(k, o, "mean", means);
    put(k, o, "skipped", skipped);
    put(k, o, "id_accuracy", accuracy(r));
    put(k, o, "full_spectrum", full_spectrum(k, r));
    put(k, o, "bootstrap", bootstrap(k, r));
    put(k, o, "benchmark", text(r->benchmark));
    put(k, o, "inputs", inputs(k, r));
    put(k, o, "seconds", number(r->seconds));
    if (!made.failed) dump = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    CHECK(dump != NULL, ERR_ENV, "no memory for the JSON results");
    CHECK(fputs(dump, f) >= 0 && fputc('\n', f) != EOF, ERR_ENV, "cannot write the JSON file");
done:
    free(dump);
    json_decref(o);
    return rc;
}
