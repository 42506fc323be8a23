#include "common/err.h"
#include "common/mem.h"
#include "score/methods/dice.h"
#include "score/stats/topk.h"

#include <math.h>
#include <stdlib.h>

static int mask(fit_context *f, double q, dice_state *s)
{
    int rc = 0;
    const head *w = f->o->head;
    size_t n = w->c * w->d;
    double *mean = NULL, *v = NULL, least;
    TRY(budget_new(f->mem, &s->w, n, sizeof *s->w, "masked head"));
    TRY(budget_new(f->mem, &mean, f->d, sizeof *mean, "mean feature"));
    TRY(budget_new(f->mem, &v, n, sizeof *v, "contributions"));
    fit_mean(f, mean);
    for (size_t i = 0; i < n; i++)
        v[i] = mean[i % w->d] * (double)w->w[i];
    least = select_quantile(v, n, q);
    for (size_t i = 0; i < n; i++) {
        int stays = mean[i % w->d] * (double)w->w[i] > least;
        s->w[i] = stays ? w->w[i] : 0;
        s->weights += (size_t)stays;
    }
done:
    budget_free(f->mem, &mean);
    budget_free(f->mem, &v);
    return rc;
}

int dice_fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    dice_state *s = NULL;
    linalg_values v = {.n = f->c, .k = f->d, .f32_only = 1};
    TRY(mem_new(&s, 1, sizeof *s, "DICE"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->clip = INFINITY;
    TRY(mask(f, param_double(p, "percentile") / 100, s));
    v.f32 = s->w;
    TRY(f->la->ops->keep(f->la, &s->kept, &v));
done:
    return rc;
}

void dice_free(void **state)
{
    dice_state *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) s->la->ops->drop(s->la, &s->kept);
    if (s->mem != NULL) budget_free(s->mem, &s->w);
    free(s);
    *state = NULL;
}
