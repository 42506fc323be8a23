#include "extract/cpu/grouped.h"
#include "extract/cpu/lines.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>

struct grouped {
    conv **each;
    int groups;
};

/* The channels of group g as a map of their own. */
static view slice_of(const view *v, int g, int groups)
{
    view s = *v;
    s.c = v->c / groups;
    s.p = (char *)v->p + (size_t)(g * s.c) * view_bytes(v);
    return s;
}

int grouped_new(grouped **out, const plan_step *step, const view *x, const view *y, const grouped *like)
{
    int rc = 0;
    size_t each = (size_t)(x->c / step->groups * y->c / step->groups * step->kernel * step->kernel);
    grouped *g = NULL;
    TRY(mem_new(&g, 1, sizeof *g, step->name));
    g->groups = step->groups;
    TRY(mem_new(&g->each, (size_t)g->groups, sizeof(conv *), step->name));
    for (int i = 0; i < g->groups; i++) {
        view xs = slice_of(x, i, g->groups), ys = slice_of(y, i, g->groups);
        plan_step own = *step;
        own.groups = 1;
        own.w = step->w + (size_t)i * each;
        own.w_count = each;
        own.b = step->b + i * ys.c;
        TRY(conv_new(&g->each[i], &own, &xs, &ys, like != NULL ? like->each[i] : NULL));
    }
    *out = g;
    g = NULL;
done:
    grouped_free(&g);
    return rc;
}

void grouped_free(grouped **g)
{
    if (*g == NULL) return;
    for (int i = 0; (*g)->each != NULL && i < (*g)->groups; i++)
        conv_free(&(*g)->each[i]);
    free((*g)->each);
    free(*g);
    *g = NULL;
}

void grouped_run(const grouped *g, const view *x, const view *y, const view *residual, int n)
{
    for (int i = 0; i < g->groups; i++) {
        view xs = slice_of(x, i, g->groups), ys = slice_of(y, i, g->groups), rs;
        if (residual != NULL) rs = slice_of(residual, i, g->groups);
        conv_run(g->each[i], &xs, &ys, residual != NULL ? &rs : NULL, n);
    }
}
