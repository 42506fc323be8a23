#include "score/methods/react.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/gentropy.h"

#include <stdlib.h>
#include <string.h>

int react_fit_later(fit_context *f, const method_params *p, void **state)
{
    react_state *s = NULL;
    int rc = mem_new(&s, 1, sizeof *s, "ReAct");
    (void)p;
    if (rc < 0) return rc;
    s->f = f;
    *state = s;
    return 0;
}

unsigned react_waives(const method_params *p)
{
    return strcmp(param_text(p, "clip"), "quantile") == 0 ? 0 : NEEDS_TRAIN;
}

int react_plan_train(fit_context *f, const method_params *p)
{
    return react_waives(p) ? 0 : fit_want_quantile(f, QUANTILE_OF_TRAIN, param_double(p, "quantile"));
}

int react_plan_later(fit_context *f, const method_params *p)
{
    return fit_want_quantile(f, QUANTILE_OF_TEST, param_double(p, "quantile"));
}

int react_fit_train(fit_context *f, const method_params *p, void **state)
{
    react_state *s;
    int rc = react_fit_later(f, p, state);
    if (rc < 0) return rc;
    s = *state;
    if (!react_waives(p))
        return fit_quantile(f, f->o->train, param_double(p, "quantile"), &s->clip);
    s->clip = param_double(p, "clip");
    return 0;
}

int react_enter_set(void *state, const method_params *p, const source *set)
{
    react_state *s = state;
    return fit_quantile(s->f, set, param_double(p, "quantile"), &s->clip);
}

void react_free(void **state)
{
    free(*state);
    *state = NULL;
}

int react_energy(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const react_state *s = state;
    const clipped_block *k;
    (void)p;
    TRY(block_clipped(b, (float)s->clip, &k));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)k->sums[i].lse;
done:
    return rc;
}

int react_gen(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const react_state *s = state;
    const clipped_block *k;
    TRY(block_clipped(b, (float)s->clip, &k));
    TRY(gentropy_rows(p, k->p, b->n, b->c, out));
done:
    return rc;
}

/* ---- several uses ----------------------------------------------------------------------------- */

static float clip_of(const scored_use *v)
{
    return (float)((const react_state *)v->state)->clip;
}

static int first_of_clip(const scored_use *v, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (clip_of(&v[k]) == clip_of(&v[i])) return 0;
    return 1;
}

int react_energy_many(const scored_use *v, size_t n, const score_block *b)
{
    int rc = 0;
    const clipped_block *k;
    for (size_t i = 0; i < n; i++) {
        if (!first_of_clip(v, i)) continue;
        TRY(block_clipped(b, clip_of(&v[i]), &k));
        for (size_t u = i; u < n; u++)
            for (size_t j = 0; clip_of(&v[u]) == k->clip && j < b->n; j++)
                v[u].out[j] = (float)k->sums[j].lse;
    }
done:
    return rc;
}

int react_gen_many(const scored_use *v, size_t n, const score_block *b)
{
    int rc = 0;
    const clipped_block *k;
    gentropy_use *g = NULL;
    TRY(mem_new(&g, n, sizeof *g, "settings of GEN"));
    for (size_t i = 0; i < n; i++) {
        size_t m = 0;
        if (!first_of_clip(v, i)) continue;
        TRY(block_clipped(b, clip_of(&v[i]), &k));
        for (size_t u = i; u < n; u++)
            if (clip_of(&v[u]) == k->clip) g[m++] = gentropy_use_of(v[u].p, v[u].out);
        TRY(gentropy_many(k->p, b->n, b->c, g, m));
    }
done:
    free(g);
    return rc;
}
