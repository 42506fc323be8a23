#include "extract/weights.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weights {
    arrays *file;
    char *path;
    char prefix[64];
    const float **v; /* [params] */
    float **owned;   /* converted copies, NULL where the file's own bytes serve */
    size_t n;
};

enum { LISTED = 6 }; /* names shown per kind of trouble */

static const char *const prefixes[] = { "module.", "_orig_mod.", "backbone." };
static const char *const ignored[] = { "num_batches_tracked", "relative_position_index",
                                       "attn_mask" };

/* Drops the prefixes that every key shares. */
static void find_prefix(weights *w)
{
    size_t n = arrays_count(w->file), have = 0;
    for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
        size_t len = strlen(prefixes[p]), i = 0;
        while (i < n && strncmp(arrays_at(w->file, i)->name + have, prefixes[p], len) == 0)
            i++;
        if (n == 0 || i < n || have + len >= sizeof w->prefix) continue;
        memcpy(w->prefix + have, prefixes[p], len + 1);
        have += len;
        p = (size_t)-1; /* module.module. has been seen */
    }
}

int weights_open(weights **out, const char *path)
{
    int rc = 0;
    weights *w = NULL;
    TRY(mem_new(&w, 1, sizeof *w, "weights"));
    TRY(mem_strdup(&w->path, path));
    TRY(arrays_open(&w->file, path));
    find_prefix(w);
    *out = w;
    w = NULL;
done:
    weights_close(&w);
    return rc;
}

static void release_bound(weights *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->owned[i]);
    free(w->owned);
    free(w->v);
    w->owned = NULL;
    w->v = NULL;
    w->n = 0;
}

void weights_close(weights **w)
{
    if (*w == NULL) return;
    release_bound(*w);
    arrays_close(&(*w)->file);
    free((*w)->path);
    free(*w);
    *w = NULL;
}

/* Replaces the first `ours` in name by `theirs`; 0 when it does not occur. */
static int rename_part(char *dst, size_t room, const char *name, const model_alias *a)
{
    const char *at = strstr(name, a->ours);
    if (at == NULL) return 0;
    snprintf(dst, room, "%.*s%s%s", (int)(at - name), name, a->theirs, at + strlen(a->ours));
    return 1;
}

static const array *find(const weights *w, const model *m, const char *name)
{
    char key[512], other[512];
    const array *a;
    snprintf(key, sizeof key, "%s%s", w->prefix, name);
    a = arrays_find(w->file, key);
    for (const model_alias *r = m->aliases; a == NULL && r != NULL && r->ours != NULL; r++)
        if (rename_part(other, sizeof other, key, r)) a = arrays_find(w->file, other);
    return a;
}

static int fits(const array *a, const param *p)
{
    if (a->rank != p->rank) return 0;
    for (int i = 0; i < p->rank; i++)
        if (a->dim[i] != p->dim[i]) return 0;
    return 1;
}

int weights_classes(const weights *w, const model *m)
{
    char key[256];
    const array *a;
    snprintf(key, sizeof key, "%s.weight", m->classifier);
    a = find(w, m, key);
    return a != NULL && a->rank >= 2 && a->dim[0] >= 1 && a->dim[0] <= 1000000 ? (int)a->dim[0]
                                                                                : m->classes;
}

const model *weights_recognise(const weights *w)
{
    const model *found = NULL;
    for (const model *const *m = models; *m != NULL && found == NULL; m++) {
        graph *g = NULL;
        size_t i = 0;
        if (model_build(&g, *m, weights_classes(w, *m)) == 0) {
            for (; i < graph_params(g); i++) {
                const param *p = graph_param(g, (int)i);
                const array *a = find(w, *m, p->name);
                if (a == NULL || !fits(a, p)) break;
            }
            if (i == graph_params(g)) found = *m;
        }
        graph_free(&g);
    }
    return found;
}

/* ---- reports ---------------------------------------------------------------------------------- */

typedef struct trouble { /* a list of names that is cut after a few */
    size_t n;
    char text[600];
} trouble;

static void note(trouble *t, const char *words)
{
    size_t used = strlen(t->text);
    if (t->n < LISTED)
        snprintf(t->text + used, sizeof t->text - used, "%s%s", t->n > 0 ? ", " : "", words);
    else if (t->n == LISTED)
        snprintf(t->text + used, sizeof t->text - used, ", ...");
    t->n++;
}

static void write_dims(char *dst, size_t room, const size_t *dim, int rank)
{
    size_t n = (size_t)snprintf(dst, room, "[");
    for (int i = 0; i < rank && n < room; i++)
        n += (size_t)snprintf(dst + n, room - n, "%s%zu", i > 0 ? "," : "", dim[i]);
    if (n < room) snprintf(dst + n, room - n, "]");
}

static void note_shape(trouble *t, const array *a, const param *p)
{
    char words[320], theirs[80], ours[80];
    write_dims(theirs, sizeof theirs, a->dim, a->rank);
    write_dims(ours, sizeof ours, p->dim, p->rank);
    snprintf(words, sizeof words, "%.120s is %s, the network has %s", p->name, theirs, ours);
    note(t, words);
}

static int is_ignored(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        size_t len = strlen(ignored[i]);
        if (n >= len && strcmp(name + n - len, ignored[i]) == 0) return 1;
    }
    return 0;
}

static void note_unexpected(trouble *t, const weights *w, const array *const *used, size_t n)
{
    for (size_t i = 0; i < arrays_count(w->file); i++) {
        const array *a = arrays_at(w->file, i);
        size_t j = 0;
        while (j < n && used[j] != a)
            j++;
        if (j == n && !is_ignored(a->name)) note(t, a->name);
    }
}

static int report(const weights *w, const model *m, const trouble *missing, const trouble *extra,
                  const trouble *shapes)
{
    char words[2000] = "";
    const struct {
        const trouble *t;
        const char *kind;
    } parts[] = { { missing, "missing" }, { extra, "unexpected" }, { shapes, "of another shape" } };
    const model *looks = weights_recognise(w);
    for (size_t i = 0; i < 3; i++) {
        size_t used = strlen(words);
        if (parts[i].t->n > 0)
            snprintf(words + used, sizeof words - used, "; %zu %s: %s", parts[i].t->n,
                     parts[i].kind, parts[i].t->text);
    }
    return err_set(ERR_INPUT, "%s: not a checkpoint of %s%s%s%s", w->path, m->name,
                   looks && looks != m ? "; it looks like " : "",
                   looks && looks != m ? looks->name : "", words);
}

/* ---- binding ----------------------------------------------------------------------------------- */

static int take(weights *w, size_t i, const array *a)
{
    int rc = 0;
    if (a->type == ARRAY_F32 && (size_t)a->data % sizeof(float) == 0) {
        w->v[i] = a->data;
    } else {
        CHECK(a->type <= ARRAY_BF16, ERR_INPUT, "%s: '%s' holds %s, not floating point", w->path,
              a->name, array_type_name(a->type));
        TRY(mem_new_aligned(&w->owned[i], a->count, sizeof(float), a->name));
        array_to_f32(a, w->owned[i]);
        w->v[i] = w->owned[i];
    }
    for (size_t k = 0; k < a->count; k++)
        CHECK(isfinite(w->v[i][k]), ERR_INPUT, "%s: '%s' has NaN or Inf at element %zu", w->path,
              a->name, k);
done:
    return rc;
}

int weights_bind(weights *w, const model *m, const graph *g)
{
    int rc = 0;
    size_t n = graph_params(g);
    const array **used = NULL;
    trouble missing = { 0 }, extra = { 0 }, shapes = { 0 };
    release_bound(w);
    TRY(mem_new(&used, n, sizeof *used, "weights"));
    for (size_t i = 0; i < n; i++) {
        const param *p = graph_param(g, (int)i);
        used[i] = find(w, m, p->name);
        if (used[i] == NULL) note(&missing, p->name);
        else if (!fits(used[i], p)) note_shape(&shapes, used[i], p);
    }
    note_unexpected(&extra, w, used, n);
    if (missing.n + extra.n + shapes.n > 0) TRY(report(w, m, &missing, &extra, &shapes));
    TRY(mem_new(&w->v, n, sizeof *w->v, "weights"));
    TRY(mem_new(&w->owned, n, sizeof *w->owned, "weights"));
    w->n = n;
    for (size_t i = 0; i < n; i++)
        TRY(take(w, i, used[i]));
done:
    free(used);
    return rc;
}

const float *weights_at(const weights *w, int i) { return w->v[i]; }
const char *weights_sha256(const weights *w) { return arrays_sha256(w->file); }
const char *weights_prefix(const weights *w) { return w->prefix; }
const arrays *weights_arrays(const weights *w) { return w->file; }
