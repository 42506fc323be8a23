#include "score/methods/subspace.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>

int subspace_plan(fit_context *f, const method_params *p)
{
    size_t dim;
    int rc = residual_dim(f, param_text(p, "dim"), &dim);
    if (rc == 0) fit_want_residual(f, dim);
    return rc < 0 ? rc : 0;
}

int subspace_fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    subspace_state *s = NULL;
    size_t dim;
    TRY(residual_dim(f, param_text(p, "dim"), &dim));
    if (rc == FIT_REFUSED) goto done;
    TRY(mem_new(&s, 1, sizeof *s, "residual"));
    *state = s;
    TRY(fit_residual(f, dim, &s->r));
done:
    return rc;
}

void subspace_free(void **state)
{
    free(*state);
    *state = NULL;
}
