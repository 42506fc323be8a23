/* Does a file hold a network's parameters, under which layout, and of which network? */
#include "extract/weights_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_MAX = 1000000, GRID_MAX = 4096 };

/* ---- one parameter ----------------------------------------------------------------------------- */

const layout *layouts_of(const model *m)
{
    static const layout own[] = { { .name = "" }, { .name = NULL } };
    return m->key_layouts != NULL ? m->key_layouts : own;
}

void layout_call(char *out, size_t room, const model *m, const layout *l)
{
    if (l->name[0] != '\0') snprintf(out, room, "%s", l->name);
    else snprintf(out, room, "%.*s", (int)strcspn(m->layouts, " ,("), m->layouts);
}

static const array *find(const weights *w, const char *more, const char *key)
{
    char name[KEY_MAX + 128];
    snprintf(name, sizeof name, "%s%s%s", w->prefix, more, key);
    return arrays_find(w->file, name);
}

int source_find(source *s, const weights *w, const layout *l, const char *name)
{
    char key[KEY_MAX];
    *s = (source){ .n = 1, .missing = -1 };
    for (int i = 0; i < s->n && s->missing < 0; i++) {
        s->n = layout_key_of(l, name, i, key, sizeof key, &s->how);
        if (s->n == 0 || s->n > KEY_PARTS) return 0;
        if (l->prefix != NULL) s->part[i] = find(w, l->prefix, key);
        if (s->part[i] == NULL) s->part[i] = find(w, "", key);
        if (s->part[i] == NULL) s->missing = i;
    }
    return s->missing < 0;
}

/* The side of a square grid, 0 when the rows are none. */
static int grid_side(size_t rows, int prefix)
{
    int side = 0;
    if (rows <= (size_t)prefix) return 0;
    rows -= (size_t)prefix;
    while (side < GRID_MAX && (size_t)side * (size_t)side < rows)
        side++;
    return (size_t)side * (size_t)side == rows ? side : 0;
}

int source_fits(const source *s, const param *p, int *from, int *to)
{
    const array *a = s->part[0];
    if (layout_fits(s->how, s->part, s->n, p)) return 1;
    if (p->grid_prefix < 0 || s->how != KEY_COPY || p->rank != 3 || a->rank != 3) return 0;
    if (a->dim[0] != 1 || p->dim[0] != 1 || a->dim[2] != p->dim[2] || a->count == 0) return 0;
    *from = grid_side(a->dim[1], p->grid_prefix);
    *to = grid_side(p->dim[1], p->grid_prefix);
    return *from > 0 && *to > 0 ? 2 : 0;
}

int classes_under(const weights *w, const model *m, const layout *l)
{
    char name[256];
    size_t dim[4];
    source s;
    int rank;
    snprintf(name, sizeof name, "%s.weight", m->classifier);
    if (!source_find(&s, w, l, name)) return 0;
    rank = layout_shape(s.how, s.part, s.n, 2, dim);
    return rank >= 2 && dim[0] >= 1 && dim[0] <= CLASSES_MAX ? (int)dim[0] : 0;
}

/* ---- a whole graph ----------------------------------------------------------------------------- */

static int ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

int is_unexpected(const layout *l, const weights *w, const char *name)
{
    static const char *const everywhere[] = { "num_batches_tracked", "relative_position_index",
                                              "attn_mask" };
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
        if (ends_in(name, everywhere[i])) return 0;
    return !layout_ignores(l, name + strlen(w->prefix));
}

size_t fitting_troubles(const fitting *f)
{
    return f->missing + f->misshaped + f->unexpected;
}

int fitting_better(const fitting *a, const fitting *b)
{
    if (a->used != b->used) return a->used > b->used;
    return fitting_troubles(a) < fitting_troubles(b);
}

int fitting_count(fitting *f, const weights *w, const layout *l, const graph *g, size_t limit)
{
    int rc = 0;
    unsigned char *used = NULL; /* [arrays] */
    size_t n = arrays_count(w->file);
    *f = (fitting){ 0 };
    TRY(mem_new(&used, n, 1, "weights"));
    for (size_t i = 0; i < graph_params(g) && fitting_troubles(f) <= limit; i++) {
        const param *p = graph_param(g, (int)i);
        source s;
        if (!is_stored(p)) continue;
        if (source_find(&s, w, l, p->name)) f->misshaped += !source_fits(&s, p, &f->from, &f->to);
        else f->missing++;
        for (int k = 0; k < KEY_PARTS; k++)
            if (s.part[k] != NULL) used[s.part[k] - arrays_at(w->file, 0)] = 1;
    }
    for (size_t i = 0; i < n && fitting_troubles(f) <= limit; i++) {
        f->used += used[i];
        f->unexpected += !used[i] && is_unexpected(l, w, arrays_at(w->file, i)->name);
    }
done:
    free(used);
    return rc;
}

/* ---- every network ----------------------------------------------------------------------------- */

/* Adds at `at`, those behind it move on; what has no room is counted only. */
static void insert(recognised *out, size_t room, size_t at, size_t n, const recognised *r)
{
    if (at >= room) return;
    if (n >= room) n = room - 1;
    memmove(out + at + 1, out + at, (n - at) * sizeof *out);
    out[at] = *r;
}

/* The first layout under which the file is this network and nothing else. */
static int recognise(recognised *r, const weights *w, const model *m)
{
    int found = 0;
    graph *g = NULL;
    for (const layout *l = layouts_of(m); l->name != NULL && !found; l++) {
        fitting f;
        *r = (recognised){ .m = m, .l = l, .classes = classes_under(w, m, l), .side = m->prep.side };
        if (r->classes == 0) continue; /* most networks are out here, before a graph is built */
        if (model_build_as(&g, m, r->classes, m->prep.side, l->variant) == 0 &&
            fitting_count(&f, w, l, g, 0) == 0 && fitting_troubles(&f) == 0) {
            found = 1;
            if (f.from > 0) r->side = m->prep.side / f.to * f.from;
            layout_call(r->layout, sizeof r->layout, m, l);
        }
        graph_free(&g);
    }
    return found;
}

size_t weights_recognise(const weights *w, recognised *out, size_t room)
{
    size_t n = 0, fit = 0;
    for (const model *const *m = models; *m != NULL; m++) {
        recognised r;
        if (!recognise(&r, w, *m)) continue;
        if (r.side == (*m)->prep.side) insert(out, room, fit++, n, &r);
        else insert(out, room, n, n, &r);
        n++;
    }
    return n;
}

/* "2 tensors missing, 1 unexpected, 3 of another shape" */
static void describe(char *text, size_t room, const fitting *f)
{
    const struct {
        size_t n;
        const char *words;
    } parts[] = { { f->missing, "missing" }, { f->unexpected, "unexpected" },
                  { f->misshaped, "of another shape" } };
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < 3 && used < room; i++)
        if (parts[i].n > 0)
            used += (size_t)snprintf(text + used, room - used, "%s%zu %s%s", used > 0 ? ", " : "",
                                     parts[i].n, used > 0 ? "" : parts[i].n > 1 ? "tensors " : "tensor ",
                                     parts[i].words);
}

int weights_nearest(const weights *w, recognised *out, char *wrong, size_t room)
{
    fitting best = { .missing = SIZE_MAX / 2 };
    graph *g = NULL;
    *out = (recognised){ .m = NULL };
    for (const model *const *m = models; *m != NULL; m++)
        for (const layout *l = layouts_of(*m); l->name != NULL; l++) {
            int classes = classes_under(w, *m, l);
            fitting f;
            if (classes == 0) classes = (*m)->classes;
            if (model_build_as(&g, *m, classes, (*m)->prep.side, l->variant) == 0 &&
                fitting_count(&f, w, l, g, SIZE_MAX) == 0 && fitting_better(&f, &best)) {
                best = f;
                *out = (recognised){ .m = *m, .l = l, .classes = classes, .side = (*m)->prep.side };
                layout_call(out->layout, sizeof out->layout, *m, l);
            }
            graph_free(&g);
        }
    describe(wrong, room, &best);
    return out->m != NULL && best.used > best.missing && best.used > best.unexpected;
}
