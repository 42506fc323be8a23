/* From "odin:T=1/1000,eps=0.0014" to a probe with options, and what they mean. */
#include "extract/probes/parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t index_of(const probe_def *d, const char *key)
{
    size_t i = 0;
    while (d->opts[i].name != NULL && strcmp(d->opts[i].name, key) != 0)
        i++;
    return i;
}

const char *probe_text(const probe_build *b, const char *key)
{
    return b->value[index_of(b->def, key)];
}

double probe_number(const probe_build *b, const char *key)
{
    return strtod(probe_text(b, key), NULL); /* checked when it was set */
}

int probe_flag(const probe_build *b, const char *key)
{
    return strcmp(probe_text(b, key), "yes") == 0;
}

const char *probe_digits(char buf[32], double v)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, v);
        if (strtof(buf, NULL) == (float)v && (strchr(buf, 'e') == NULL || fabs(v) < 1e-5 || fabs(v) > 1e7)) break;
    }
    return buf;
}

int probe_list(const probe_build *b, const char *key, probe_numbers *out)
{
    int rc = 0;
    args_list parts = { 0 };
    TRY(args_split(&parts, probe_text(b, key), '/'));
    for (out->n = 0; out->n < parts.n; out->n++)
        out->v[out->n] = strtod(parts.v[out->n], NULL);
done:
    args_list_clear(&parts);
    return rc;
}

void probe_record_list(const probe_build *b, const char *key, const args_list *words)
{
    json_t *v = json_array();
    for (size_t i = 0; i < words->n; i++)
        json_array_append_new(v, json_string(words->v[i]));
    json_object_set_new(b->options, key, v);
}

/* ---- layers ------------------------------------------------------------------------------------------ */

static int no_default(const probe_build *b, const char *key)
{
    return err_set(ERR_USAGE, "%s: no layers of %s are known for it; say %s:%s=TAP", b->def->name, b->m->name,
                   b->def->name, key);
}

int probe_take_layer(const probe_build *b, const char *key, const char *def, const char **name, int *at)
{
    const char *text = probe_text(b, key);
    *at = -1;
    if (strcmp(text, "default") == 0) text = def != NULL ? def : "none";
    *name = text;
    json_object_set_new(b->options, key, json_string(text));
    if (strcmp(text, "none") == 0) return 0;
    return outputs_find(at, b->g, b->m->name, text, b->def->name);
}

int probe_take_layers(const probe_build *b, const char *key, probe_layers *out)
{
    int rc = 0;
    args_list parts = { 0 };
    const char *text = probe_text(b, key);
    *out = (probe_layers){ 0 };
    if (strcmp(text, "default") == 0) text = b->def->layers(b->m);
    if (text == NULL) return no_default(b, key);
    TRY(args_split(&parts, text, '/'));
    CHECK(parts.n <= PROBE_LIST_MAX, ERR_USAGE, "%s: more than %d layers", b->def->name, PROBE_LIST_MAX);
    probe_record_list(b, key, &parts);
    for (size_t i = 0; i < parts.n; i++) {
        TRY(outputs_find(&out->node[i], b->g, b->m->name, parts.v[i], b->def->name));
        out->name[i] = g_name(b->g, "%s", parts.v[i]);
        out->n++;
    }
done:
    args_list_clear(&parts);
    return rc;
}

/* ---- statistics of a data set by name ------------------------------------------------------------------ */

int probe_divisors(const probe_build *b, const char *key, float v[3])
{
    static const struct {
        const char *name;
        float v[3];
    } known[] = { /* OpenOOD's, methods-openood.md section 8 */
        { "none", { 1, 1, 1 } },
        { "imagenet", { 0.229f, 0.224f, 0.225f } },
        { "cifar10", { 0.2470f, 0.2435f, 0.2616f } },
        { "cifar100", { 0.2675f, 0.2565f, 0.2761f } },
        { "half", { 0.5f, 0.5f, 0.5f } },
    };
    int rc = 0;
    args_list parts = { 0 };
    const char *text = probe_text(b, key);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, known[i].name) == 0) {
            memcpy(v, known[i].v, sizeof known[i].v);
            return 0;
        }
    TRY(args_split(&parts, text, '/'));
    CHECK(parts.n == 3, ERR_USAGE, "%s.%s: '%s' is neither none, imagenet, cifar10, cifar100, half nor R/G/B",
          b->def->name, key, text);
    for (size_t i = 0; i < 3; i++) {
        double d;
        TRY(args_parse_double(&d, parts.v[i], key));
        CHECK(d > 0, ERR_USAGE, "%s.%s: a deviation is above 0", b->def->name, key);
        v[i] = (float)d;
    }
done:
    args_list_clear(&parts);
    return rc;
}
