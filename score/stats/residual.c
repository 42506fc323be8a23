#include "score/stats/residual.h"

#include <stdlib.h>
#include <string.h>

int residual_norms(const residual_space *r, const float *h, size_t n, float *norm)
{
    return r->la->ops->norms(r->la, r->kept_r, r->k, r->kept_u, h, n, norm);
}

int residual_dim(fit_context *f, const char *rule, size_t *dim)
{
    size_t d = f->d;
    if (strcmp(rule, "auto") == 0) *dim = d >= 2048 ? 1000 : d >= 768 ? 512 : d / 2;
    else if (strcmp(rule, "gen") == 0) *dim = d >= 2048 ? 1000 : 512;
    else if (strcmp(rule, "openood") == 0) *dim = 256;
    else *dim = (size_t)strtoull(rule, NULL, 10);
    if (*dim >= d || *dim == 0)
        return fit_refuse(f, "dim=%s keeps %zu of %zu directions: nothing is left to measure", rule,
                          *dim, d);
    return 0;
}
