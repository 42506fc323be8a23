#include "extract/outputs.h"
#include "extract/adjoint.h"
#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int outputs_add(outputs *o, const char *name, int at, reduction how, output **added)
{
    int rc = 0;
    output *v;
    for (size_t i = 0; i < o->n; i++)
        CHECK(strcmp(o->v[i].name, name) != 0, ERR_USAGE, "'%s' is asked for twice", name);
    TRY(mem_grow(&o->v, &o->room, o->n + 1, sizeof *o->v, "outputs"));
    v = &o->v[o->n];
    *v = (output){ .node = at, .reduce = how, .type = FEATURE_F32 };
    TRY(mem_strdup(&v->name, name));
    o->n++;
    if (added != NULL) *added = v;
done:
    return rc;
}

void outputs_clear(outputs *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->v[i].name);
        free(o->v[i].made);
    }
    free(o->v);
    *o = (outputs){ 0 };
}

int outputs_made(char **text, const json_t *how)
{
    *text = how != NULL ? json_dumps(how, JSON_SORT_KEYS | JSON_REAL_PRECISION(9)) : NULL;
    return how != NULL && *text == NULL ? err_set(ERR_ENV, "no memory for how a dataset came about") : 0;
}

int outputs_find(int *at, const graph *g, const char *network, const char *name, const char *option)
{
    const char *names[1024], *near;
    size_t n = 0;
    *at = strcmp(name, "image") == 0 ? 0 : graph_find_tap(g, name);
    if (*at < 0 && strcmp(name, "features") == 0) *at = graph_features(g);
    if (*at >= 0) return 0;
    names[n++] = "features";
    for (size_t i = 0; i < graph_nodes(g) && n < 1024; i++)
        if (graph_node(g, (int)i)->tap != NULL) names[n++] = graph_node(g, (int)i)->tap;
    near = args_nearest(name, names, n);
    return err_set(ERR_USAGE, "%s: %s has no tap '%s'%s%s%s; `extract models %s` lists them", option, network,
                   name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "", network);
}

/* ---- names with reductions ------------------------------------------------------------------------ */

typedef struct tap_text { /* NAME[:map|:mean|:sum|:max][:f16] */
    char name[200];
    int kind;
    feature_type type;
} tap_text;

static const char *const kinds[] = { "map", "mean", "sum", "max" };

static int parse_tap(tap_text *t, const char *text, const char *option)
{
    int rc = 0;
    args_list parts = { 0 };
    *t = (tap_text){ .type = FEATURE_F32 };
    TRY(args_split(&parts, text, ':'));
    CHECK(strlen(parts.v[0]) < sizeof t->name, ERR_USAGE, "%s %s: no such name", option, text);
    memcpy(t->name, parts.v[0], strlen(parts.v[0]) + 1);
    for (size_t i = 1; i < parts.n; i++) {
        int kind = 0;
        if (i + 1 == parts.n && strcmp(parts.v[i], "f16") == 0) {
            t->type = FEATURE_F16;
            continue;
        }
        while (kind < 4 && strcmp(kinds[kind], parts.v[i]) != 0)
            kind++;
        CHECK(kind < 4 && i == 1, ERR_USAGE, "%s %s: '%s' is not map, mean, sum or max, or f16 behind them",
              option, text, parts.v[i]);
        t->kind = kind;
    }
done:
    args_list_clear(&parts);
    return rc;
}

static int add_named(outputs *o, const char *group, const tap_text *t, int at, output **added)
{
    char name[240];
    int rc = 0;
    snprintf(name, sizeof name, "%s/%s%s%s", group, t->name, t->kind > 0 ? ":" : "",
             t->kind > 0 ? kinds[t->kind] : "");
    TRY(outputs_add(o, name, at, (reduction)t->kind, added));
    (*added)->type = t->type;
done:
    return rc;
}

int outputs_add_tap(outputs *o, const graph *g, const char *network, const char *text)
{
    int rc = 0, at;
    tap_text t;
    output *added;
    TRY(parse_tap(&t, text, "--tap"));
    TRY(outputs_find(&at, g, network, t.name, "--tap"));
    TRY(add_named(o, "taps", &t, at, &added));
done:
    return rc;
}

/* ---- gradients ------------------------------------------------------------------------------------- */

typedef struct scalar_choice {
    cotangent_kind kind;
    double temperature;
    long long logit;
} scalar_choice;

static int parse_scalar(scalar_choice *s, const char *text)
{
    static const char *const words[] = { "ce", "uniform", "logsumexp", "max" };
    int rc = 0;
    *s = (scalar_choice){ .temperature = 1 };
    if (strncmp(text, "ce:", 3) == 0) {
        TRY(args_parse_double(&s->temperature, text + 3, "--scalar ce"));
        CHECK(s->temperature > 0, ERR_USAGE, "--scalar %s: a temperature is above 0", text);
        return 0;
    }
    if (strncmp(text, "logit=", 6) == 0) {
        s->kind = COTANGENT_LOGIT;
        TRY(args_parse_int(&s->logit, text + 6, "--scalar logit"));
        CHECK(s->logit >= 0 && s->logit <= 1 << 30, ERR_USAGE, "--scalar %s: no such class", text);
        return 0;
    }
    for (int i = 0; i < 4; i++)
        if (strcmp(text, words[i]) == 0) {
            s->kind = (cotangent_kind)i;
            return 0;
        }
    rc = err_set(ERR_USAGE, "--scalar: no '%s'; ce, ce:TEMPERATURE, uniform, logsumexp, max, logit=CLASS", text);
done:
    return rc;
}

static int add_gradients(outputs *o, graph *g, const tap_text *taps, const int *at, size_t n,
                         const char *scalar)
{
    int rc = 0, *gradient = NULL, z;
    scalar_choice s;
    TRY(parse_scalar(&s, scalar));
    z = graph_through(g, graph_logits(g), at, (int)n);
    TRY(graph_check(g));
    CHECK(s.logit < g_shape(g, z).c, ERR_USAGE, "--scalar %s: there are %d classes, from 0 on", scalar,
          g_shape(g, z).c);
    TRY(mem_new(&gradient, n, sizeof *gradient, "gradients"));
    graph_backward(g, z, g_cotangent(g, z, s.kind, (float)s.temperature, (int)s.logit), at, (int)n, gradient);
    TRY(graph_check(g));
    for (size_t i = 0; i < n; i++) {
        output *added;
        json_t *made = json_pack("{s:s, s:s}", "gradient", taps[i].name, "scalar", scalar);
        rc = add_named(o, "gradients", &taps[i], gradient[i], &added);
        if (rc == 0) rc = outputs_made(&added->made, made);
        json_decref(made);
        if (rc < 0) goto done;
    }
done:
    free(gradient);
    return rc;
}

/* NAME or NAME:f16 */
static int is_vector_dump(const char *word, const char *name, feature_type *type)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) != 0 || (word[n] != '\0' && strcmp(word + n, ":f16") != 0)) return 0;
    *type = word[n] == '\0' ? FEATURE_F32 : FEATURE_F16;
    return 1;
}

int outputs_add_dumps(outputs *o, graph *g, const char *network, const char *dumps, const char *scalar)
{
    static const char head[] = "gradients:";
    int rc = 0, *at = NULL;
    size_t n = 0;
    args_list words = { 0 };
    tap_text *taps = NULL;
    feature_type type;
    TRY(args_split(&words, dumps, ','));
    TRY(mem_new(&taps, words.n, sizeof *taps, "outputs"));
    TRY(mem_new(&at, words.n, sizeof *at, "outputs"));
    for (size_t i = 0; i < words.n; i++) {
        const char *w = words.v[i];
        output *added;
        if (is_vector_dump(w, "features", &type)) {
            TRY(outputs_add(o, "features", graph_features(g), REDUCE_NONE, &added));
            added->type = type;
        } else if (is_vector_dump(w, "logits", &type)) {
            TRY(outputs_add(o, "logits", graph_logits(g), REDUCE_NONE, &added));
            added->type = type;
        } else if (strncmp(w, head, sizeof head - 1) == 0) {
            TRY(parse_tap(&taps[n], w + sizeof head - 1, "--dump gradients"));
            TRY(outputs_find(&at[n], g, network, taps[n].name, "--dump gradients"));
            n++;
        } else CHECK(0, ERR_USAGE, "--dump: no '%s'; features, logits, gradients:TAP (and --tap TAP)", w);
    }
    CHECK(n > 0 || scalar == NULL, ERR_USAGE, "--scalar %s: no gradients are asked for by --dump", scalar);
    if (n > 0) TRY(add_gradients(o, g, taps, at, n, scalar != NULL ? scalar : "uniform"));
done:
    args_list_clear(&words);
    free(taps);
    free(at);
    return rc;
}
