/* From the words of --probe to nodes and outputs. */
#include "extract/probes/parts.h"
#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe_set {
    probe_shared shared;
    json_t *list;
};

/* ---- words -------------------------------------------------------------------------------------------- */

static int is_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; at != NULL && *at != '\0';) {
        size_t k = strcspn(at, "|");
        if (k == n && memcmp(at, word, n) == 0) return 1;
        at += k + (at[k] == '|');
    }
    return 0;
}

static int check_value(const probe_def *d, const probe_opt *o, const char *text)
{
    int rc = 0;
    double v;
    char what[80];
    if (is_word(o->words, text) || (o->min >= o->max && o->words == NULL)) return 0;
    CHECK(o->min < o->max, ERR_USAGE, "%s.%s is one of %s, not '%s'", d->name, o->name, o->words, text);
    snprintf(what, sizeof what, "%s.%s", d->name, o->name);
    TRY(args_parse_double(&v, text, what));
    CHECK(v >= o->min && v <= o->max, ERR_USAGE, "%s.%s is %s, allowed is %g to %g", d->name, o->name, text,
          o->min, o->max);
    CHECK(!o->whole || v == floor(v), ERR_USAGE, "%s.%s is %s, not a whole number", d->name, o->name, text);
done:
    return rc;
}

static int check_values(const probe_def *d, const probe_opt *o, const char *text)
{
    int rc = 0;
    args_list parts = { 0 };
    if (!o->list) return check_value(d, o, text);
    TRY(args_split(&parts, text, '/'));
    CHECK(parts.n <= PROBE_LIST_MAX, ERR_USAGE, "%s.%s: more than %d values", d->name, o->name, PROBE_LIST_MAX);
    for (size_t i = 0; i < parts.n; i++)
        TRY(check_value(d, o, parts.v[i]));
done:
    args_list_clear(&parts);
    return rc;
}

static int unknown_option(const probe_def *d, const char *key)
{
    const char *names[PROBE_OPTS_MAX + 1], *near;
    size_t n = 0;
    for (; d->opts[n].name != NULL; n++)
        names[n] = d->opts[n].name;
    names[n++] = "type";
    near = args_nearest(key, names, n);
    return err_set(ERR_USAGE, "probe %s has no option '%s'%s%s%s; `extract probes %s` lists them", d->name, key,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "", d->name);
}

static int set_option(probe_build *b, char *word)
{
    int rc = 0;
    char *eq = strchr(word, '=');
    const probe_opt *o = b->def->opts;
    CHECK(eq != NULL && eq != word && eq[1] != '\0', ERR_USAGE, "--probe %s: '%s' is not KEY=VALUE", b->def->name,
          word);
    *eq = '\0';
    if (strcmp(word, "type") == 0) {
        CHECK(is_word("f32|f16", eq + 1), ERR_USAGE, "%s.type is f32 or f16, not '%s'", b->def->name, eq + 1);
        b->type = strcmp(eq + 1, "f16") == 0 ? FEATURE_F16 : FEATURE_F32;
        goto done;
    }
    while (o->name != NULL && strcmp(o->name, word) != 0)
        o++;
    if (o->name == NULL) {
        rc = unknown_option(b->def, word);
        goto done;
    }
    TRY(check_values(b->def, o, eq + 1));
    b->value[o - b->def->opts] = g_name(b->g, "%s", eq + 1);
    TRY(graph_check(b->g));
done:
    return rc;
}

static json_t *value_json(const probe_opt *o, const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (o->min < o->max && *end == '\0' && end != text)
        return o->whole ? json_integer((json_int_t)v) : json_real(v);
    return json_string(text);
}

/* Lists become arrays. */
static int record_options(probe_build *b)
{
    int rc = 0;
    args_list parts = { 0 };
    b->options = json_object();
    for (size_t i = 0; b->def->opts[i].name != NULL; i++) {
        const probe_opt *o = &b->def->opts[i];
        json_t *v;
        if (b->value[i] == NULL) b->value[i] = o->def;
        if (!o->list) {
            json_object_set_new(b->options, o->name, value_json(o, b->value[i]));
            continue;
        }
        TRY(args_split(&parts, b->value[i], '/'));
        v = json_array();
        for (size_t k = 0; k < parts.n; k++)
            json_array_append_new(v, value_json(o, parts.v[k]));
        json_object_set_new(b->options, o->name, v);
        args_list_clear(&parts);
        parts = (args_list){ 0 };
    }
done:
    args_list_clear(&parts);
    return rc;
}

static int parse(probe_build *b, const char *text)
{
    int rc = 0;
    size_t n = strcspn(text, ":");
    args_list parts = { 0 };
    TRY(probe_find(&b->def, text, n));
    if (text[n] == ':') TRY(args_split(&parts, text + n + 1, ','));
    for (size_t i = 0; i < parts.n; i++)
        TRY(set_option(b, (char *)(uintptr_t)parts.v[i]));
    TRY(record_options(b));
done:
    args_list_clear(&parts);
    return rc;
}

/* ---- one probe, all of them ----------------------------------------------------------------------------- */

static int build_one(probe_set *s, probe_build *b, const char *text)
{
    int rc = 0;
    size_t before = b->to->n;
    json_t *entry;
    TRY(parse(b, text));
    CHECK(!b->def->needs_stats || s->shared.stats != NULL, ERR_USAGE,
          "probe %s needs --stats FILE, fitted on train features", b->def->name);
    TRY(b->def->build(b));
    TRY(graph_check(b->g));
    CHECK(b->to->n > before, ERR_USAGE, "probe %s: these options leave nothing to store", b->def->name);
    entry = json_pack("{s:s, s:O}", "name", b->def->name, "options", b->options);
    if (entry != NULL && b->def->needs_stats)
        json_object_set_new(entry, "stats", probe_stats_json(s->shared.stats));
    CHECK(json_array_append_new(s->list, entry) == 0, ERR_ENV, "no memory for the options of a probe");
done:
    json_decref(b->options);
    b->options = NULL;
    return rc;
}

int probes_build(probe_set **out, outputs *to, graph *g, const model *m, const char *const *texts, size_t n,
                 const char *stats)
{
    int rc = 0;
    probe_set *s = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "probes"));
    s->list = json_array();
    if (stats != NULL) TRY(probe_stats_open(&s->shared.stats, stats));
    for (size_t i = 0; i < n; i++) {
        probe_build b = { .type = FEATURE_F32, .g = g, .m = m, .to = to, .shared = &s->shared };
        TRY(build_one(s, &b, texts[i]));
    }
    *out = s;
    s = NULL;
done:
    probes_free(&s);
    return rc;
}

void probes_free(probe_set **s)
{
    if (*s == NULL) return;
    free((*s)->shared.gradients);
    probe_stats_close(&(*s)->shared.stats);
    json_decref((*s)->list);
    free(*s);
    *s = NULL;
}

json_t *probes_json(const probe_set *s)
{
    return json_incref(s->list);
}

/* ---- what probes are made of ---------------------------------------------------------------------------- */

int probe_image_gradient(probe_build *b, int x, int z, cotangent_kind kind, float temperature, int *out)
{
    int rc = 0;
    probe_shared *s = b->shared;
    image_gradient *v;
    for (size_t i = 0; i < s->n; i++) {
        v = &s->gradients[i];
        if (v->x == x && v->z == z && v->kind == kind && v->temperature == temperature) {
            *out = v->node;
            return 0;
        }
    }
    graph_backward(b->g, z, g_cotangent(b->g, z, kind, temperature, 0), &x, 1, out);
    TRY(graph_check(b->g));
    TRY(mem_grow(&s->gradients, &s->room, s->n + 1, sizeof *s->gradients, "gradients"));
    s->gradients[s->n++] = (image_gradient){ x, z, kind, temperature, *out };
done:
    return rc;
}

int probe_again(probe_build *b, int x, int x2, const int *wanted, int n, int *out)
{
    const replay r = { .from = &x, .to = &x2, .n = 1 };
    graph_replay(b->g, &r, wanted, n, out);
    return graph_check(b->g);
}

int probe_constant(graph *g, const char *name, int rank, const int *dim, const float *values)
{
    for (size_t i = 0; i < graph_params(g); i++)
        if (strcmp(graph_param(g, (int)i)->name, name) == 0 && graph_param(g, (int)i)->given != NULL) return (int)i;
    return g_constant(g, name, rank, dim, values);
}

int probe_add(probe_build *b, int at, reduction how, json_t *own, const char *path, ...)
{
    int rc = 0, n;
    char name[220];
    va_list ap;
    output *added;
    json_t *made = json_pack("{s:s}", "probe", b->def->name);
    n = snprintf(name, sizeof name, "probes/%s/", b->def->name);
    va_start(ap, path);
    vsnprintf(name + n, sizeof name - (size_t)n, path, ap);
    va_end(ap);
    json_object_update(made, b->options);
    if (own != NULL) json_object_update(made, own);
    TRY(graph_check(b->g));
    if (g_shape(b->g, at).h * g_shape(b->g, at).w == 1) how = REDUCE_NONE;
    TRY(outputs_add(b->to, name, at, how, &added));
    added->type = b->type;
    TRY(outputs_made(&added->made, made));
done:
    json_decref(own);
    json_decref(made);
    return rc;
}
