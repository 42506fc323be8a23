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
    gentropy_rows(p, k->p, b->n, b->c, out);
done:
    return rc;
}
