#include "score/methods/subspace.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>

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
