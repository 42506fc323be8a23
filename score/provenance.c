/* Which model made a file, as far as its /provenance tells. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "score/source.h"

/* What must agree between sets that are combined; the lists and the commands may differ.  A key is
 * a path into the JSON; a value missing in either file is not compared. */
static const struct { const char *key, *words; } identity[] = {
    { "checkpoint.sha256", "checkpoints" },
    { "model", "models" },
    { "preprocess", "preprocessing" },
    { "precision", "precisions" },
};

static json_t *parse(const source *s)
{
    const char *text = source_provenance(s);
    return text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static const json_t *find(const json_t *o, const char *key)
{
    const char *dot = strchr(key, '.');
    char first[64];
    if (dot == NULL) return json_object_get(o, key);
    snprintf(first, sizeof first, "%.*s", (int)(dot - key), key);
    return json_object_get(json_object_get(o, first), dot + 1);
}

/* A value in one short line. */
static void shorten(const json_t *v, char *buf, size_t room)
{
    size_t n = json_dumpb(v, buf, room - 1, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (n > room - 1) n = room - 1;
    buf[n] = '\0';
    if (n > 72) snprintf(buf + 69, room - 69, "...");
}

int source_check_same_model(const source *a, const source *b)
{
    int rc = 0;
    json_t *x = parse(a), *y = parse(b);
    char left[256], right[256];
    for (size_t i = 0; x != NULL && y != NULL && i < sizeof identity / sizeof *identity; i++) {
        const json_t *u = find(x, identity[i].key), *v = find(y, identity[i].key);
        if (u == NULL || v == NULL || json_is_null(u) || json_is_null(v)) continue;
        if (json_equal(u, v)) continue;
        shorten(u, left, sizeof left);
        shorten(v, right, sizeof right);
        CHECK(0, ERR_INPUT, "%s and %s come from different %s: %s and %s; --force combines them",
              a->path, b->path, identity[i].words, left, right);
    }
done:
    json_decref(x);
    json_decref(y);
    return rc;
}

const char *source_model(const source *s, char *buf, size_t room)
{
    json_t *o = parse(s);
    const json_t *v = find(o, "model");
    const char *name = json_string_value(json_is_object(v) ? json_object_get(v, "name") : v);
    if (name != NULL) log_printable(buf, room, name);
    json_decref(o);
    return name != NULL ? buf : NULL;
}

int source_list_sha256(const source *s, char sha256[65])
{
    json_t *o = parse(s);
    const char *text = json_string_value(find(o, "list.sha256"));
    int known = text != NULL && strlen(text) == 64;
    if (known) memcpy(sha256, text, 65);
    json_decref(o);
    return known;
}
