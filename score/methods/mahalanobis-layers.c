/* Multi-layer Mahalanobis with input perturbation.  Lee, Lee, Lee and Shin, NeurIPS 2018, arXiv:1807.03888, as MOS,
 * GradNorm and RankFeat run it.
 *   M_l = max_k -1/2 (a' - m_k)' P (a' - m_k), a' the mean of layer l's map of the image moved for that layer (probe
 *   `mahalanobis`), m_k and P from the probe `gap` over the train set
 *   S = -(w M + w_0), the log odds of a regression that tells FGSM images from clean ones: of the first `tune`
 *   validation rows, half to fit and half to choose eps by FPR95.  Published is -sigmoid(w M + w_0), of the same order. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/metrics.h"
#include "score/stats/gaussians.h"
#include "score/stats/logistic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double grid[] = {0.0, 0.01, 0.005, 0.002, 0.0014, 0.001, 0.0005}; /* in the published order */
enum { GRID = sizeof grid / sizeof grid[0] };

typedef struct state_type {
    table_layers names;
    gaussians *layer; /* [names.n] */
    double eps, w[LOGISTIC_MAX];
} state_type;

static const char *prefix_of(double eps, int fgsm, char prefix[64])
{
    char e[32];
    snprintf(prefix, 64, "mahalanobis/%seps=%s/", fgsm ? "fgsm," : "", table_number(eps, e));
    return prefix;
}

/* Whether s has all of id's layers at this step. */
static int has_step(const source *id, const source *s, double eps, int fgsm)
{
    char of_id[64], of_s[64];
    size_t n = strlen(prefix_of(eps, 0, of_id)), found = 0;
    prefix_of(eps, fgsm, of_s);
    for (size_t i = 0; i < id->n_tables; i++) {
        if (strncmp(id->tables[i].name, of_id, n) != 0) continue;
        if (table_at(s, "%s%s", of_s, id->tables[i].name + n) == NULL) return 0;
        found++;
    }
    return found > 0;
}

/* The steps to choose from: [n] of them. */
static size_t steps(const method_params *p, const source *id, const source *val, double *eps)
{
    size_t n = 0;
    int given = strcmp(param_text(p, "eps"), "auto") != 0;
    if (given) {
        eps[0] = param_double(p, "eps");
        return has_step(id, id, eps[0], 0) && has_step(id, val, eps[0], 0) && has_step(id, val, eps[0], 1);
    }
    for (size_t i = 0; i < GRID; i++)
        if (has_step(id, id, grid[i], 0) && has_step(id, val, grid[i], 0) && has_step(id, val, grid[i], 1))
            eps[n++] = grid[i];
    return n;
}

static int lacks_train(const source *id, const source *train, char *why, size_t room)
{
    for (size_t i = 0; i < id->n_tables; i++) {
        const char *slash = strncmp(id->tables[i].name, "mahalanobis/eps=", 16) == 0
                                ? strchr(id->tables[i].name + 16, '/') : NULL;
        char name[TABLE_NAME];
        if (slash == NULL) continue;
        snprintf(name, sizeof name, "gap%s", slash);
        if (table_lacks(train, name, "gap", why, room)) return 1;
    }
    return 0;
}

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    double eps[GRID];
    int given = strcmp(param_text(p, "eps"), "auto") != 0, any = 0;
    char e[32];
    if (role == TABLES_TRAIN) return lacks_train(id, s, why, room);
    if (role == TABLES_VAL && steps(p, id, s, eps) > 0) return 0;
    if (role == TABLES_VAL) {
        snprintf(why, room, "set '%s' has no step of the ID set with and without FGSM (extract with --probe "
                 "mahalanobis --probe mahalanobis:fgsm=0.05)", s->name);
        return 1;
    }
    for (size_t i = 0; i < (given ? 1 : GRID); i++) {
        double v = given ? param_double(p, "eps") : grid[i];
        if (!given && !has_step(id, id, v, 0)) continue;
        any = 1;
        if (has_step(id, s, v, 0)) continue;
        snprintf(why, room, "set '%s' lacks tables /probes/mahalanobis/eps=%s/ (extract with --probe mahalanobis)",
                 s->name, table_number(v, e));
        return 1;
    }
    if (!any) snprintf(why, room, "set '%s' has no tables /probes/mahalanobis/ (extract with --probe mahalanobis)",
                       id->name);
    return !any;
}

/* ---- fit ------------------------------------------------------------------------------------------ */

static int fit_layers(fit_context *f, state_type *s, double eps)
{
    int rc = 0, none;
    char prefix[64], name[TABLE_NAME];
    table_take_layers(f->o->id, prefix_of(eps, 0, prefix), &s->names);
    TRY(mem_new(&s->layer, s->names.n, sizeof *s->layer, "Mahalanobis"));
    for (size_t l = 0; l < s->names.n; l++) {
        snprintf(name, sizeof name, "gap/%s", s->names.name[l]);
        TRY(gaussians_fit(&s->layer[l], f->o->train, name, f->c, f->mem, &none));
        if (none) {
            rc = fit_refuse(f, "the vectors of %s do not vary within classes, or no train row has a label", name);
            goto done;
        }
        TRY(gaussians_keep(&s->layer[l], f->la));
    }
done:
    return rc;
}

/* M of the first n validation rows, x [n,layers]. */
static int val_scores(fit_context *f, const state_type *s, double eps, int fgsm, size_t n, double *x)
{
    int rc = 0;
    char prefix[64], name[TABLE_NAME];
    double *m = NULL;
    float *buffer = NULL;
    const float *v;
    TRY(mem_new(&m, n, sizeof *m, "scores of a layer"));
    for (size_t l = 0; l < s->names.n; l++) {
        size_t d = s->layer[l].d;
        snprintf(name, sizeof name, "%s%s", prefix_of(eps, fgsm, prefix), s->names.name[l]);
        TRY(budget_new(f->mem, &buffer, n * d, sizeof *buffer, "rows of a table"));
        TRY(table_rows(f->o->val_id, name, d, 0, n, buffer, &v));
        TRY(gaussians_score(&s->layer[l], v, n, m));
        budget_free(f->mem, &buffer);
        for (size_t i = 0; i < n; i++)
            x[i * s->names.n + l] = m[i];
    }
done:
    budget_free(f->mem, &buffer);
    free(m);
    return rc;
}

/* FPR95 of the second half; clean, moved [2 half,d] */
static int held_out(const double *w, const double *clean, const double *moved, size_t half, size_t d, double *fpr)
{
    int rc = 0;
    float *v = NULL;
    metrics m;
    score_set id = {0}, ood = {0};
    TRY(mem_new(&v, 2 * half, sizeof *v, "scores"));
    for (size_t i = 0; i < half; i++) {
        v[i] = (float)-logistic_odds(w, clean + (half + i) * d, d);
        v[half + i] = (float)-logistic_odds(w, moved + (half + i) * d, d);
    }
    TRY(score_set_init(&id, v, half, "mahalanobis-layers, clean validation rows"));
    TRY(score_set_init(&ood, v + half, half, "mahalanobis-layers, FGSM rows"));
    TRY(metrics_compute(&m, &id, &ood));
    *fpr = m.fpr95_mos;
done:
    score_set_clear(&id);
    score_set_clear(&ood);
    free(v);
    return rc;
}

/* The regression of one step; rows of `x`: the fitting halves, clean before moved. */
static int regress(fit_context *f, const state_type *s, double eps, size_t half, double *w, double *fpr)
{
    int rc = 0;
    size_t d = s->names.n;
    double *clean = NULL, *moved = NULL, *x = NULL, c = 0;
    unsigned char *y = NULL;
    TRY(mem_new(&clean, 2 * half * d, sizeof *clean, "regression"));
    TRY(mem_new(&moved, 2 * half * d, sizeof *moved, "regression"));
    TRY(mem_new(&x, 2 * half * d, sizeof *x, "regression"));
    TRY(mem_new(&y, 2 * half, 1, "regression"));
    TRY(val_scores(f, s, eps, 0, 2 * half, clean));
    TRY(val_scores(f, s, eps, 1, 2 * half, moved));
    memcpy(x, clean, half * d * sizeof *x);
    memcpy(x + half * d, moved, half * d * sizeof *x);
    memset(y + half, 1, half);
    TRY(logistic_fit_cv(x, y, 2 * half, d, w, &c));
    TRY(held_out(w, clean, moved, half, d, fpr));
    log_info("mahalanobis-layers: eps %g: C %g, FPR95 %.4f on %zu held-out rows", eps, c, *fpr, half);
done:
    free(clean);
    free(moved);
    free(x);
    free(y);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s;
    double eps[GRID], best = INFINITY, w[LOGISTIC_MAX], fpr;
    size_t n, half = (size_t)param_int(p, "tune") / 2;
    TRY(mem_new(&s, 1, sizeof *s, "Mahalanobis"));
    *state = s;
    n = steps(p, f->o->id, f->o->val_id, eps);
    half = half < f->o->val_id->n / 2 ? half : f->o->val_id->n / 2;
    if (half < 5) {
        rc = fit_refuse(f, "%zu validation rows are too few for a regression in five folds", f->o->val_id->n);
        goto done;
    }
    TRY(fit_layers(f, s, eps[0]));
    if (rc != 0) goto done;
    if (s->names.n >= LOGISTIC_MAX) {
        rc = fit_refuse(f, "%zu layers are too many", s->names.n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        TRY(regress(f, s, eps[i], half, w, &fpr));
        if (fpr >= best) continue;
        best = fpr;
        s->eps = eps[i];
        memcpy(s->w, w, sizeof w);
    }
done:
    return rc;
}

/* ---- score ---------------------------------------------------------------------------------------- */

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0, probability = param_text(p, "score")[0] == 'p';
    const state_type *s = state;
    double *m = NULL, *odds = NULL;
    char prefix[64], name[TABLE_NAME];
    const float *v;
    TRY(mem_new(&m, b->n, sizeof *m, "scores of a layer"));
    TRY(mem_new(&odds, b->n, sizeof *odds, "scores"));
    for (size_t i = 0; i < b->n; i++)
        odds[i] = s->w[s->names.n];
    for (size_t l = 0; l < s->names.n; l++) {
        snprintf(name, sizeof name, "%s%s", prefix_of(s->eps, 0, prefix), s->names.name[l]);
        TRY(block_table(b, 0, name, s->layer[l].d, &v));
        TRY(gaussians_score(&s->layer[l], v, b->n, m));
        for (size_t i = 0; i < b->n; i++)
            odds[i] += s->w[l] * m[i];
    }
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)(probability ? -1 / (1 + exp(-odds[i])) : -odds[i]);
done:
    free(m);
    free(odds);
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    for (size_t l = 0; s->layer != NULL && l < s->names.n; l++)
        gaussians_clear(&s->layer[l]);
    free(s->layer);
    free(s);
    *state = NULL;
}

const method method_mahalanobis_layers = {
    .name = "mahalanobis-layers",
    .title = "Mahalanobis (layers)",
    .formula = "-(w M + w_0), M_l = max_k -1/2 (a' - m_k)' P (a' - m_k) of each layer, w by logistic regression",
    .paper = "Lee, Lee, Lee and Shin, A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
             "Adversarial Attacks, NeurIPS 2018, arXiv:1807.03888",
    .quirks = "published is -sigmoid, which in f32 is -1 or 0 for many images; tuned, as published, on the first "
              "validation images against their FGSM images, clamped in normalised units",
    .groups = "mos seeds",
    .needs = NEEDS_LOGITS | NEEDS_TRAIN | NEEDS_TRAIN_LABELS | NEEDS_VAL,
    .opts = (const method_opt[]){{"eps", "auto", "step of the probe; auto: of the published grid the first with the "
                                  "least FPR95", 0, 10, "auto", 0},
                                 {"tune", "1000", "validation rows, half to fit and half to choose", 10, 1e6, NULL,
                                  METHOD_WHOLE},
                                 {"score", "odds", "odds: log odds; probability: -sigmoid itself", 0, 0,
                                  "odds|probability", 0},
                                 {0}},
    .probe = "mahalanobis",
    .lacks = lacks,
    .fit = fit,
    .score = score,
    .free = release,
};
