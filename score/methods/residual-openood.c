/* Residual as OpenOOD has it: that of residual.c, fitted on held-out ID rows, 512 directions dropped. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/residual.h"
#include "score/stats/rows.h"
#include "score/stats/scatter.h"
#include "score/stats/shared.h"

#include <stdlib.h>

typedef struct state_type {
    float *r;
    residual_space space;
    linalg_matrix *kept;
    linalg *la;
    budget *mem;
} state_type;

typedef struct pass {
    scatter moments;
    linalg *la;
} pass;

static int add_rows(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    int rc = 0;
    pass *a = arg;
    scatter_add(&a->moments, h, n, NULL);
    if (!a->moments.second_elsewhere) goto done;
    if (begin == 0) TRY(a->la->ops->moments_begin(a->la, d, a->moments.shift, 1, a->moments.second));
    TRY(a->la->ops->moments_add(a->la, h, NULL, n));
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    size_t d = f->d, dim, k;
    state_type *s = NULL;
    pass a = {.la = f->la};
    double *second = NULL, *values = NULL;
    TRY(residual_dim(f, param_text(p, "dim"), &dim));
    if (rc == FIT_REFUSED) goto done;
    TRY(mem_new(&s, 1, sizeof *s, "residual"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    k = d - dim;
    TRY(fit_origin(f));
    TRY(scatter_init(&a.moments, d, 0, 1, f->mem));
    a.moments.second_elsewhere = f->la->ops->device;
    TRY(rows_each(f->o->val_id, f->mem, add_rows, &a));
    if (a.moments.second_elsewhere) TRY(f->la->ops->moments_end(f->la));
    TRY(budget_new(f->mem, &second, d * d, sizeof *second, "second moment"));
    TRY(budget_new(f->mem, &values, d, sizeof *values, "eigenvalues"));
    TRY(budget_new(f->mem, &s->r, k * d, sizeof *s->r, "residual space"));
    scatter_about(&a.moments, f->u_exact, second);
    TRY(f->la->ops->eigh(f->la, d, second, values, 0, k));
    for (size_t i = 0; i < k * d; i++)
        s->r[i] = (float)second[i];
    TRY(f->la->ops->keep(f->la, &s->kept, &(linalg_values){.n = k, .k = d, .f32 = s->r}));
    s->space = (residual_space){d, dim, k, f->u, s->r, f->la, f->kept_u, s->kept};
done:
    scatter_clear(&a.moments);
    if (s != NULL) {
        budget_free(f->mem, &second);
        budget_free(f->mem, &values);
    }
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    (void)p;
    TRY(residual_norms(&s->space, b->h, b->n, out));
    for (size_t i = 0; i < b->n; i++)
        out[i] = -out[i];
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) s->la->ops->drop(s->la, &s->kept);
    if (s->mem != NULL) budget_free(s->mem, &s->r);
    free(s);
    *state = NULL;
}

const method method_residual_openood = {
    .name = "residual-openood",
    .title = "Residual (OpenOOD)",
    .formula = "-|| R' (h - u) ||, u = -pinv(W) b, R = the D - dim least directions of held-out ID rows",
    .paper = "Wang et al., ViM: Out-Of-Distribution with Virtual-logit Matching, CVPR 2022, arXiv:2203.10807",
    .quirks = "OpenOOD fits on the validation set, with 512 of any number of features: 512 features leave nothing, all "
              "scores are 0 there and the method is left out here; fewer rows than features leave directions of variance "
              "0 among the residual ones",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_VAL,
    .opts = (const method_opt[]){{"dim", "512", "leading directions to drop; auto, gen and openood as residual", 1, 1e9, "auto|gen|openood",
                                  METHOD_WHOLE},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
