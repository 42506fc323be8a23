#include "extract/weights_impl.h"
#include "extract/singular.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *const prefixes[] = { "module.", "_orig_mod.", "backbone." };

/* ---- opening ----------------------------------------------------------------------------------- */

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
    w->from = w->to = 0;
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

/* ---- the layout -------------------------------------------------------------------------------- */

int weights_choose(weights *w, const model *m, int side)
{
    int rc = 0;
    graph *g = NULL;
    fitting best = { .missing = SIZE_MAX / 2 };
    const layout *l = layouts_of(m);
    w->chosen_for = m;
    w->layout = l;
    if (l[1].name == NULL) goto done; /* no choice */
    for (; l->name != NULL && fitting_troubles(&best) > 0; l++) {
        int classes = classes_under(w, m, l);
        fitting f;
        graph_free(&g);
        if (model_build_as(&g, m, classes > 0 ? classes : m->classes, side, l->variant) < 0) {
            err_clear(); /* a size the network has no graph for: said by whoever builds it */
            continue;
        }
        TRY(fitting_count(&f, w, l, g, SIZE_MAX));
        if (!fitting_better(&f, &best)) continue;
        best = f;
        w->layout = l;
    }
done:
    layout_call(w->layout_name, sizeof w->layout_name, m, w->layout);
    graph_free(&g);
    return rc;
}

const layout *weights_layout(const weights *w) { return w->layout; }
const char *weights_layout_name(const weights *w) { return w->layout_name; }

int weights_classes(const weights *w, const model *m)
{
    int classes = 0;
    if (w->chosen_for == m) {
        classes = classes_under(w, m, w->layout);
    } else {
        for (const layout *l = layouts_of(m); l->name != NULL && classes == 0; l++)
            classes = classes_under(w, m, l);
    }
    return classes > 0 ? classes : m->classes;
}

void weights_set_positions(weights *w, positions_how how)
{
    w->positions = how;
}

/* ---- binding ----------------------------------------------------------------------------------- */

static int all_finite(const weights *w, const float *v, size_t n, const char *name)
{
    for (size_t k = 0; k < n; k++)
        if (!isfinite(v[k]))
            return err_set(ERR_INPUT, "%s: '%s' has NaN or Inf at element %zu", w->path, name, k);
    return 0;
}

static int check_type(const weights *w, const array *a)
{
    if (a->type <= ARRAY_BF16) return 0;
    return err_set(ERR_INPUT, "%s: '%s' holds %s, not floating point", w->path, a->name,
                   array_type_name(a->type));
}

/* Positions of another grid. */
static int take_resampled(weights *w, size_t i, const array *a, const param *p)
{
    int rc = 0;
    float *stored = NULL;
    TRY(mem_new_aligned(&stored, a->count, sizeof *stored, p->name));
    array_to_f32(a, stored);
    TRY(all_finite(w, stored, a->count, a->name));
    TRY(mem_new_aligned(&w->owned[i], p->count, sizeof(float), p->name));
    TRY(positions_resize(w->owned[i], w->to, stored, w->from, p->grid_prefix, p->dim[2],
                         w->positions));
    w->v[i] = w->owned[i];
done:
    free(stored);
    return rc;
}

static int take(weights *w, size_t i, const source *s, const param *p)
{
    int rc = 0, from, to;
    const array *a = s->part[0];
    for (int k = 0; k < s->n; k++)
        TRY(check_type(w, s->part[k]));
    if (source_fits(s, p, &from, &to) == 2) {
        w->from = from;
        w->to = to;
        return take_resampled(w, i, a, p);
    }
    if (layout_in_order(s->how, s->part) && a->type == ARRAY_F32 &&
        (size_t)a->data % sizeof(float) == 0) {
        w->v[i] = a->data;
    } else {
        TRY(mem_new_aligned(&w->owned[i], p->count, sizeof(float), p->name));
        TRY(layout_copy(s->how, s->part, s->n, p, w->owned[i]));
        w->v[i] = w->owned[i];
    }
    TRY(all_finite(w, w->v[i], p->count, a->name));
done:
    return rc;
}

/* Parameter i from its base, which is bound already, as a matrix of dim 0 rows; in double, rounded once. */
static int derive(weights *w, size_t i, const param *p)
{
    int rc = 0;
    const float *base = w->v[p->base];
    double *a = NULL;
    TRY(mem_new(&a, p->count, sizeof *a, p->name));
    TRY(mem_new_aligned(&w->owned[i], p->count, sizeof(float), p->name));
    for (size_t k = 0; k < p->count; k++)
        a[k] = (double)base[k];
    for (int k = 0; k < p->removals; k++)
        CHECK(singular_deflate(a, p->dim[0], p->count / p->dim[0]) == 0, ERR_INPUT,
              "%s: '%s' has no largest singular component that can be found", w->path, p->name);
    for (size_t k = 0; k < p->count; k++)
        w->owned[i][k] = (float)a[k];
    w->v[i] = w->owned[i];
done:
    free(a);
    return rc;
}

static int bind_one(weights *w, size_t i, const source *s, const param *p)
{
    if (is_stored(p)) return take(w, i, s, p);
    if (p->given == NULL) return derive(w, i, p);
    w->v[i] = p->given;
    return 0;
}

static int check_stored_tables(const weights *w)
{
    int rc = 0;
    for (size_t i = 0; i < arrays_count(w->file); i++)
        TRY(stored_table_check(arrays_at(w->file, i), w->path));
done:
    return rc;
}

int weights_bind(weights *w, const model *m, const graph *g)
{
    int rc = 0;
    size_t n = graph_params(g);
    source *sources = NULL;
    fitting f;
    release_bound(w);
    if (w->chosen_for != m) TRY(weights_choose(w, m, m->prep.side));
    TRY(mem_new(&sources, n, sizeof *sources, "weights"));
    for (size_t i = 0; i < n; i++)
        if (is_stored(graph_param(g, (int)i)))
            source_find(&sources[i], w, w->layout, graph_param(g, (int)i)->name);
    TRY(fitting_count(&f, w, w->layout, g, SIZE_MAX));
    if (fitting_troubles(&f) > 0) TRY(weights_refuse(w, m, g, sources));
    TRY(check_stored_tables(w));
    TRY(mem_new(&w->v, n, sizeof *w->v, "weights"));
    TRY(mem_new(&w->owned, n, sizeof *w->owned, "weights"));
    w->n = n;
    for (size_t i = 0; i < n; i++)
        TRY(bind_one(w, i, &sources[i], graph_param(g, (int)i)));
done:
    free(sources);
    return rc;
}

const float *weights_at(const weights *w, int i) { return w->v[i]; }

int weights_resampled(const weights *w, int *from, int *to)
{
    *from = w->from;
    *to = w->to;
    return w->from > 0;
}

const char *weights_sha256(const weights *w) { return arrays_sha256(w->file); }
const char *weights_prefix(const weights *w) { return w->prefix; }
const arrays *weights_arrays(const weights *w) { return w->file; }
