/* MDSEns as OpenOOD ships it: one layer, the stem.  After Lee et al., NeurIPS 2018, arXiv:1807.03888.
 *   S = max_k -1/2 (a' - m_k)' P (a' - m_k), a' the mean of the stem's map of the image moved by eps for this very
 *   score (probe `mdsens`), m_k and P from the probe `gap` over the train set */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/gaussians.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The prefix of this step, and its one layer; 0: there is none. */
static int layer_of(const method_params *p, const source *id, char prefix[TABLE_NAME], char layer[LAYER_NAME])
{
    char e[32];
    size_t n;
    snprintf(prefix, TABLE_NAME, "mdsens/eps=%s/", table_number(param_double(p, "eps"), e));
    n = strlen(prefix);
    for (size_t i = 0; i < id->n_tables; i++) {
        const char *name = id->tables[i].name;
        if (strncmp(name, prefix, n) != 0 || strlen(name + n) >= LAYER_NAME) continue;
        snprintf(layer, LAYER_NAME, "%s", name + n);
        return 1;
    }
    return 0;
}

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    char prefix[TABLE_NAME], layer[LAYER_NAME], name[TABLE_NAME + LAYER_NAME];
    if (!layer_of(p, id, prefix, layer)) {
        snprintf(why, room, "set '%s' has no tables /probes/%s (extract with --probe mdsens)", id->name, prefix);
        return 1;
    }
    snprintf(name, sizeof name, "%s%s", role == TABLES_TRAIN ? "gap/" : prefix, layer);
    return table_lacks(s, name, role == TABLES_TRAIN ? "gap" : "mdsens", why, room);
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0, none;
    gaussians *g;
    char prefix[TABLE_NAME], layer[LAYER_NAME], name[TABLE_NAME];
    TRY(mem_new(&g, 1, sizeof *g, "MDSEns"));
    *state = g;
    layer_of(p, f->o->id, prefix, layer);
    snprintf(name, sizeof name, "gap/%s", layer);
    TRY(gaussians_fit(g, f->o->train, name, f->c, f->mem, &none));
    if (none) rc = fit_refuse(f, "the vectors of %s do not vary within classes, or no train row has a label", name);
    else TRY(gaussians_keep(g, f->la));
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const gaussians *g = state;
    double *m = NULL;
    const float *v;
    char prefix[TABLE_NAME], layer[LAYER_NAME], name[TABLE_NAME + LAYER_NAME];
    layer_of(p, b->cache->f->o->id, prefix, layer);
    snprintf(name, sizeof name, "%s%s", prefix, layer);
    TRY(mem_new(&m, b->n, sizeof *m, "scores of a layer"));
    TRY(block_table(b, 0, name, g->d, &v));
    TRY(gaussians_score(g, v, b->n, m));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)m[i];
done:
    free(m);
    return rc;
}

static void release(void **state)
{
    if (*state != NULL) gaussians_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_mdsens = {
    .name = "mdsens",
    .title = "MDSEns",
    .formula = "max_k -1/2 (a' - m_k)' P (a' - m_k), a' the mean of the stem's map of the moved image",
    .paper = "OpenOOD 1.5, postprocessor mds_ensemble, after Lee et al., NeurIPS 2018, arXiv:1807.03888",
    .quirks = "the shipped configuration has one layer, the stem: not an ensemble",
    .groups = "openood",
    .needs = NEEDS_LOGITS | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .opts = (const method_opt[]){{"eps", "0.0014", "step of the probe", 0, 10, NULL, 0}, {0}},
    .probe = "mdsens",
    .lacks = lacks,
    .fit = fit,
    .score = score,
    .free = release,
};
