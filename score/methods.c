/* The table of methods: the rows of GEN's benchmark script in its order, then the others; and their
 * options. */
#include "score/method.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define METHODS(X)                                                                                 \
    X(msp) X(maxlogit) X(energy) X(energy_react) X(vim) X(residual) X(entropy) X(gen)              \
    X(gen_residual) X(local_react) X(gen_local_react) X(gen_react) X(gradnorm) X(mahalanobis)      \
    X(kl_matching)                                                                                 \
    X(temp_scale) X(kl_matching_mos) X(klm) X(odin) X(openmax) X(mos) X(max_group) X(mcm)          \
    X(weighted_energy) X(otod) X(react) X(vra) X(dice) X(dice_react) X(ash_p) X(ash_b) X(ash_s)    \
    X(scale) X(lts) X(line) X(himplos) X(she) X(nnguide) X(fdbd) X(nci) X(caref) X(cadref) X(weiper) \
    X(knn) X(mds) X(mds_pp) X(rmds) X(rmds_pp) X(ssd)                                            \
    X(wdiscood) X(neco) X(nusa) X(pnml) X(relation) X(cfood) X(grood)              \
    X(gmm) X(residual_openood)                                                                     \
    X(iodin) X(nac) X(nac_v0) X(rankfeat) X(rankweight) X(gram) X(adascale_a) X(adascale_l) X(mdsens) X(mahalanobis_layers)

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
