/* WDiscOOD, whitened linear discriminants.  Chen, Lin, Xu and Vela, ICCV 2023, arXiv:2303.07543.
 *   y = Sigma^(-1/2) (h - mean), Sigma within the classes; V the leading eigenvectors of 1/C sum y_c y_c', y_c the
 *   class means
 *   S = -min_c |V'(y - y_c)| - weight |y - V V' y|
 * The whitening of mahalanobis.c serves: another one differs by a rotation, which changes no distance. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/gaussian.h"
#include "score/stats/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the largest eigenvalue: what f32 means leave of a zero. */
#define LEAST_BETWEEN 1e-11

typedef struct state_type {
    float *map;     /* [r,d] the residual directions, then m discriminants */
    float *mean;    /* [k,m] */
    double *square; /* [k] */
    size_t k, m, r, d;
    double weight, unit;
    int normalise;
    linalg_matrix *kept_rest, *kept_disc, *kept_mean, *kept_square;
    const linalg_matrix *centre;
    linalg *la;
    budget *mem;
} state_type;

static double at(const whitening *w, size_t i)
{
    return w->exact != NULL ? w->exact[i] : (double)w->a[i];
}

/* a [r,r]: eigenvectors of the scatter of the class means, ascending */
static int discriminants(fit_context *f, state_type *s, const whitening *w, double *a, double most)
{
    int rc = 0;
    double *y = NULL, *values = NULL;
    size_t r = s->r, rank = 0;
    TRY(budget_new(f->mem, &y, s->k * r, sizeof *y, "class means"));
    TRY(budget_new(f->mem, &values, r, sizeof *values, "eigenvalues"));
    for (size_t i = 0; i < s->k * r; i++)
        y[i] = (double)w->mean[i];
    memset(a, 0, r * r * sizeof *a);
    linalg_syrk(s->k, r, 1 / (double)s->k, y, a);
    TRY(f->la->ops->eigh(f->la, r, a, values, 0, r));
    while (rank < r && values[r - 1 - rank] > LEAST_BETWEEN * values[r - 1])
        rank++;
    if (rank == 0) rc = fit_refuse(f, "the class means do not differ");
    s->m = (double)rank > most ? (size_t)most : rank;
done:
    budget_free(f->mem, &y);
    budget_free(f->mem, &values);
    return rc;
}

/* map = a w.a, mean = V y_c */
static int project(fit_context *f, state_type *s, const whitening *w, const double *a)
{
    int rc = 0;
    size_t r = s->r, d = s->d, first = r - s->m;
    double *turned = NULL, *map = NULL;
    TRY(budget_new(f->mem, &turned, d * r, sizeof *turned, "discriminants"));
    TRY(budget_new(f->mem, &map, r * d, sizeof *map, "discriminants"));
    for (size_t i = 0; i < r; i++)
        for (size_t j = 0; j < d; j++)
            turned[j * r + i] = at(w, i * d + j);
    linalg_dgemm_abt(r, d, r, a, r, turned, r, 0, map, d);
    TRY(budget_new(f->mem, &s->map, r * d, sizeof *s->map, "discriminants"));
    TRY(budget_new(f->mem, &s->mean, s->k * s->m, sizeof *s->mean, "class means"));
    TRY(budget_zeroed(f->mem, &s->square, s->k, sizeof *s->square, "class means"));
    for (size_t i = 0; i < r * d; i++)
        s->map[i] = (float)map[i];
    for (size_t k = 0; k < s->k; k++)
        for (size_t i = 0; i < s->m; i++) {
            double sum = 0;
            for (size_t j = 0; j < r; j++)
                sum += a[(first + i) * r + j] * (double)w->mean[k * r + j];
            s->mean[k * s->m + i] = (float)sum;
            s->square[k] += (double)(float)sum * (double)(float)sum;
        }
done:
    budget_free(f->mem, &turned);
    budget_free(f->mem, &map);
    return rc;
}

static int keep_all(state_type *s)
{
    int rc = 0;
    const linalg_ops *o = s->la->ops;
    size_t rest = s->r - s->m;
    if (rest > 0) TRY(o->keep(s->la, &s->kept_rest, &(linalg_values){.n = rest, .k = s->d, .f32 = s->map}));
    TRY(o->keep(s->la, &s->kept_disc, &(linalg_values){.n = s->m, .k = s->d, .f32 = s->map + rest * s->d}));
    TRY(o->keep(s->la, &s->kept_mean, &(linalg_values){.n = s->k, .k = s->m, .f32 = s->mean}));
    TRY(o->keep(s->la, &s->kept_square, &(linalg_values){.n = 1, .k = s->k, .f64 = s->square}));
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    const whitening *w = NULL;
    double *a = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "WDiscOOD"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->normalise = strcmp(param_text(p, "normalise"), "l2") == 0;
    s->weight = param_double(p, "weight");
    TRY(fit_gaussian(f, s->normalise ? GAUSSIAN_UNIT : 0, &w));
    if (rc == FIT_REFUSED) goto done;
    if (w->k < 2) {
        rc = fit_refuse(f, "one class has no discriminants");
        goto done;
    }
    s->k = w->k;
    s->r = w->r;
    s->d = w->d;
    s->unit = sqrt(w->unit);
    s->centre = w->kept_centre;
    TRY(budget_new(f->mem, &a, s->r * s->r, sizeof *a, "scatter of the class means"));
    TRY(discriminants(f, s, w, a, param_double(p, "discriminants")));
    if (rc == FIT_REFUSED) goto done;
    log_debug("wdiscood: %zu discriminants of %zu directions", s->m, s->r);
    TRY(project(f, s, w, a));
    TRY(keep_all(s));
done:
    if (s != NULL) budget_free(f->mem, &a);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    const linalg_ops *o = s->la->ops;
    const float *h = b->h;
    float *unit, *room;
    double *least;
    (void)p;
    TRY(block_work(b, 1, 2 * b->cache->rows, &room));
    least = (double *)(void *)room;
    if (s->normalise) {
        TRY(block_work(b, 0, b->cache->rows * b->d, &unit));
        rows_unit(b->h, b->n, b->d, unit);
        h = unit;
    }
    TRY(o->nearest(s->la, s->kept_disc, s->centre, s->kept_mean, s->kept_square, h, b->n, least));
    memset(out, 0, b->n * sizeof *out);
    if (s->kept_rest != NULL && s->weight > 0)
        TRY(o->norms(s->la, s->kept_rest, s->r - s->m, s->centre, h, b->n, out));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)(-s->unit * (sqrt(least[i]) + s->weight * (double)out[i]));
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) {
        s->la->ops->drop(s->la, &s->kept_rest);
        s->la->ops->drop(s->la, &s->kept_disc);
        s->la->ops->drop(s->la, &s->kept_mean);
        s->la->ops->drop(s->la, &s->kept_square);
    }
    if (s->mem != NULL) {
        budget_free(s->mem, &s->map);
        budget_free(s->mem, &s->mean);
        budget_free(s->mem, &s->square);
    }
    free(s);
    *state = NULL;
}

const method method_wdiscood = {
    .name = "wdiscood",
    .title = "WDiscOOD",
    .formula = "-min_c |V'(y - y_c)| - weight |y - V V' y|, y whitened within the classes, V = discriminants",
    .paper = "Chen et al., WDiscOOD: Out-of-Distribution Detection via Whitened Linear Discriminant Analysis, ICCV "
             "2023, arXiv:2303.07543",
    .quirks = "1000 discriminants and weight 5 as the authors have for ResNet-50 (ViT: normalise=l2, 512, weight 1), but "
              "no more than the class means span: theirs beyond are noise; singular covariances by pseudo-inverse",
    .groups = "authors",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_SECOND | STAT_CLASSES,
    .opts = (const method_opt[]){{"discriminants", "1000", "directions in which class means differ", 1, 1e9, NULL,
                                  METHOD_WHOLE},
                                 {"weight", "5", "of the residual", 0, 1e9, NULL, 0},
                                 {"normalise", "none", "l2: rows of length 1; none: as they are", 0, 0, "none|l2", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
