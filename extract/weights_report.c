/* Why a file is refused: the first few names of each kind of trouble, in the layout's own words. */
#include "extract/weights_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 6 }; /* names shown per kind of trouble */

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

static void note_missing(trouble *t, const layout *l, const param *p, int part)
{
    char key[KEY_MAX];
    if (layout_key(l, p, key, sizeof key, part) > 0) note(t, key);
    else note(t, p->name);
}

/* "head/kernel is [768,10], which makes [10,768]; the network has [1000,768]" */
static void note_shape(trouble *t, const source *s, const param *p)
{
    char words[420], stored[120], made[120] = "", ours[80];
    size_t dim[4];
    int rank = layout_shape(s->how, s->part, s->n, p->rank, dim);
    const array *a = s->part[0];
    write_dims(stored, sizeof stored, a->dim, a->rank);
    write_dims(ours, sizeof ours, p->dim, p->rank);
    if (rank > 0 && !layout_in_order(s->how, s->part)) {
        snprintf(made, sizeof made, "which makes ");
        write_dims(made + strlen(made), sizeof made - strlen(made), dim, rank);
    }
    snprintf(words, sizeof words, "%.120s is %s, %s%sthe network has %s", a->name, stored, made,
             made[0] ? "; " : "", ours);
    note(t, words);
}

static int note_unexpected(trouble *t, const weights *w, const source *sources, size_t n)
{
    int rc = 0;
    unsigned char *used = NULL;
    TRY(mem_new(&used, arrays_count(w->file), 1, "weights"));
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < KEY_PARTS; k++)
            if (sources[i].part[k] != NULL) used[sources[i].part[k] - arrays_at(w->file, 0)] = 1;
    for (size_t i = 0; i < arrays_count(w->file); i++) {
        const char *name = arrays_at(w->file, i)->name;
        if (!used[i] && is_unexpected(w->layout, w, name)) note(t, name);
    }
done:
    free(used);
    return rc;
}

/* "; it looks like vit_b_16 (layout torchvision)"; "" when nothing else fits. */
static void write_looks(char *dst, size_t room, const weights *w, const model *m)
{
    recognised r;
    dst[0] = '\0';
    if (weights_recognise(w, &r, 1) > 0 && r.m != m)
        snprintf(dst, room, "; it looks like %s (layout %s)", r.m->name, r.layout);
}

int weights_refuse(const weights *w, const model *m, const graph *g, const source *sources)
{
    int rc = 0, from, to;
    char words[2000] = "", looks[200];
    trouble missing = { 0 }, extra = { 0 }, shapes = { 0 };
    const struct {
        const trouble *t;
        const char *kind;
    } parts[] = { { &missing, "missing" }, { &extra, "unexpected" }, { &shapes, "of another shape" } };
    for (size_t i = 0; i < graph_params(g); i++) {
        const param *p = graph_param(g, (int)i);
        const source *s = &sources[i];
        if (!is_stored(p)) continue;
        if (s->n == 0 || s->missing >= 0) note_missing(&missing, w->layout, p, s->missing);
        else if (source_fits(s, p, &from, &to) == 0) note_shape(&shapes, s, p);
    }
    TRY(note_unexpected(&extra, w, sources, graph_params(g)));
    write_looks(looks, sizeof looks, w, m);
    for (size_t i = 0; i < 3; i++) {
        size_t used = strlen(words);
        if (parts[i].t->n > 0)
            snprintf(words + used, sizeof words - used, "; %zu %s: %s", parts[i].t->n,
                     parts[i].kind, parts[i].t->text);
    }
    rc = err_set(ERR_INPUT, "%s: not a checkpoint of %s%s%s%s%s%s", w->path, m->name,
                 m->key_layouts ? " (layout " : "", m->key_layouts ? w->layout_name : "",
                 m->key_layouts ? ")" : "", looks, words);
done:
    return rc;
}
