/* Words for "this is not the file that you want to go on with": which setting differs.  The key
 * `command` repeats the others in one long line; it speaks only when no other key differs. */
#include "common/err.h"
#include "common/feature/feature_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { NAMED_MAX = 3, VALUE_MAX = 80, DEPTH_MAX = 16 };

typedef struct words {
    char text[1024];
    size_t n;
    int count;
} words;

static void say(words *w, const char *key, const json_t *old, const json_t *now)
{
    size_t k = strlen(key);
    char *a, *b;
    if (k > 7 && strcmp(key + k - 7, "_sha256") == 0 && old != NULL &&
        now != NULL) { /* no use to a reader */
        if (w->count++ < NAMED_MAX && w->n < sizeof w->text - 64)
            w->n += (size_t)snprintf(w->text + w->n, 64, "%s%.*s differ", w->n > 0 ? "; " : "",
                                     (int)(k - 7 < 40 ? k - 7 : 40), key);
        return;
    }
    a = old != NULL ? json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    b = now != NULL ? json_dumps(now, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (w->count++ < NAMED_MAX && w->n < sizeof w->text) {
        int put = snprintf(w->text + w->n, sizeof w->text - w->n,
                           "%s%s is %.*s there and %.*s here", w->n > 0 ? "; " : "", key, VALUE_MAX,
                           a != NULL ? a : "absent", VALUE_MAX, b != NULL ? b : "absent");
        if (put > 0) w->n += (size_t)put;
    }
    free(a);
    free(b);
}

static void compare(words *w, const char *prefix, const json_t *old, const json_t *now, int depth)
{
    const char *key;
    json_t *v;
    char name[256];
    if (depth >= DEPTH_MAX || !json_is_object(old) || !json_is_object(now)) {
        if (!json_equal(old, now)) say(w, prefix[0] != '\0' ? prefix : "provenance", old, now);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)old, key, v)
    {
        if (depth == 0 && strcmp(key, "command") == 0) continue;
        snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        if (json_object_get(now, key) != NULL)
            compare(w, name, v, json_object_get(now, key), depth + 1);
        else say(w, name, v, NULL);
    }
    json_object_foreach((json_t *)(uintptr_t)now, key, v)
    {
        snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        if (json_object_get(old, key) == NULL) say(w, name, NULL, v);
    }
}

int feature_identity_differs(const char *file, const char *old_identity, const char *old_provenance,
                             const feature_layout *l, const feature_spec *s)
{
    words w = {.n = 0};
    json_t *old = old_provenance != NULL ? json_loads(old_provenance, JSON_DECODE_ANY, NULL) : NULL;
    json_t *now = json_loads(s->provenance, JSON_DECODE_ANY, NULL);
    if (old != NULL && now != NULL) compare(&w, "", old, now, 0);
    if (w.n == 0 && json_object_get(old, "command") != NULL && json_object_get(now, "command") != NULL)
        compare(&w, "command", json_object_get(old, "command"), json_object_get(now, "command"), 1);
    json_decref(old);
    json_decref(now);
    if (w.n == 0 && old_identity != NULL) {
        old = json_loads(old_identity, 0, NULL);
        now = json_loads(l->identity_text, 0, NULL);
        static const char *const keys[] = {"rows",     "paths_sha256", "labels_sha256",
                                           "datasets", "constants",    "path_width"};
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            compare(&w, keys[i], json_object_get(old, keys[i]), json_object_get(now, keys[i]), 0);
        json_decref(old);
        json_decref(now);
    }
    if (w.n == 0)
        snprintf(w.text, sizeof w.text, "the image list, the labels or the datasets differ");
    return err_set(ERR_INPUT, "%s: made with other settings: %s%s; --force starts over", file,
                   w.text, w.count > NAMED_MAX ? "; and more" : "");
}
