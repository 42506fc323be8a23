/* The table of methods, in the order of GEN's benchmark script, and their options. */
#include "score/method.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define METHODS(X)                                                                                 \
    X(msp) X(maxlogit) X(energy) X(energy_react) X(vim) X(residual) X(entropy) X(gen)              \
    X(gen_residual) X(local_react) X(gen_local_react) X(gen_react) X(gradnorm) X(mahalanobis)      \
    X(kl_matching) X(knn)

#define DECLARE(name) extern const method method_##name;
#define ADDRESS(name) &method_##name,

METHODS(DECLARE)

const method *const methods[] = { METHODS(ADDRESS) NULL };

const method *method_find(const char *name)
{
    for (size_t i = 0; methods[i] != NULL; i++)
        if (strcmp(methods[i]->name, name) == 0) return methods[i];
    return NULL;
}

const char *param_text(const method_params *p, const char *name)
{
    size_t i = 0;
    while (p->opts[i].name != NULL && strcmp(p->opts[i].name, name) != 0)
        i++;
    assert(p->opts[i].name != NULL);
    return p->value[i] != NULL ? p->value[i] : p->opts[i].def;
}

double param_double(const method_params *p, const char *name)
{
    return strtod(param_text(p, name), NULL);
}

long long param_int(const method_params *p, const char *name)
{
    return (long long)strtod(param_text(p, name), NULL);
}
