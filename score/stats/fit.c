#include "score/stats/coverage.h"
#include "score/stats/fit.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/logits.h"
#include "score/stats/nearest.h"
#include "score/stats/residual.h"
#include "score/stats/gaussian.h"
#include "score/stats/rows.h"
#include "score/stats/unit.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fit_refuse(fit_context *f, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->refusal, sizeof f->refusal, format, ap);
    va_end(ap);
    return FIT_REFUSED;
}

/* ---- the shared pass ------------------------------------------------------------------------- */

typedef struct pass {
    fit_context *f;
    unsigned stats;
    float *z;       /* [TRAIN_ROWS,c] */
    float *p;       /* [TRAIN_ROWS,c] */
    row_sums *sums; /* [TRAIN_ROWS] */
    int32_t *of;    /* [TRAIN_ROWS] */
    double max_sum, lse_sum, msp_sum;
} pass;

/* Classes do not share rows of template_sum, columns do not share cache lines. */
static void add_templates(fit_context *f, const float *p, const row_sums *sums, size_t n)
{
    enum { COLUMNS = 64 };
    size_t c = f->c;
#pragma omp parallel for
    for (size_t begin = 0; begin < c; begin += COLUMNS) {
        size_t end = begin + COLUMNS < c ? begin + COLUMNS : c;
        for (size_t i = 0; i < n; i++) {
            double *sum = f->template_sum + sums[i].argmax * c;
            for (size_t j = begin; j < end; j++)
                sum[j] += (double)p[i * c + j];
        }
    }
    for (size_t i = 0; i < n; i++)
        f->template_count[sums[i].argmax]++;
}

/* The class that softmax predicts: its rounding can tie classes that the logits tell apart. */
static size_t first_max(const float *p, size_t c)
{
    size_t k = 0;
    for (size_t j = 1; j < c; j++)
        if (p[j] > p[k]) k = j;
    return k;
}

enum { STATS_OF_LOGITS = STAT_LOGITS | STAT_TEMPLATES | STAT_CORRECT | STAT_PREDICTED |
                         STAT_CORRECT_LOGITS };

/* Sums by predicted class, and over the rows that are predicted as labelled. */
static void add_predicted(pass *a, size_t begin, size_t n, const float *h, const float *z)
{
    fit_context *f = a->f;
    const int64_t *labels = f->o->train->labels;
    for (size_t i = 0; i < n; i++)
        a->of[i] = (int32_t)a->sums[i].argmax;
    if (a->stats & STAT_PREDICTED) class_sums_add(&f->predicted, h, a->of, n);
    if (!(a->stats & (STAT_CORRECT | STAT_CORRECT_LOGITS))) return;
    for (size_t i = 0; i < n; i++)
        if (labels[begin + i] != a->of[i]) a->of[i] = -1;
    if (a->stats & STAT_CORRECT) class_sums_add(&f->correct, h, a->of, n);
    if (a->stats & STAT_CORRECT_LOGITS) class_sums_add(&f->correct_logits, z, a->of, n);
}

static int pass_logits(pass *a, size_t begin, size_t n, const float *h)
{
    int rc = 0;
    fit_context *f = a->f;
    const source *s = f->o->train;
    const float *z = NULL;
    TRY(logits_of_rows(f, s, begin, n, h, a->z, &z));
    TRY(logits_softmax(rowmath_best(), s, begin, z, n, f->c, a->p, a->sums));
    for (size_t i = 0; i < n; i++) {
        a->max_sum += (double)a->sums[i].max;
        a->lse_sum += a->sums[i].lse;
        a->msp_sum += exp((double)a->sums[i].max - a->sums[i].lse);
    }
    add_predicted(a, begin, n, h, z);
    if (!(a->stats & STAT_TEMPLATES)) goto done;
    for (size_t i = 0; i < n; i++)
        a->sums[i].argmax = first_max(a->p + i * f->c, f->c);
    add_templates(f, a->p, a->sums, n);
done:
    return rc;
}

static int pass_block(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    int rc = 0;
    pass *a = arg;
    fit_context *f = a->f;
    linalg *la = f->la;
    TRY(rows_check_finite(f->o->train, begin, n, d, h, "features"));
    if (a->stats & STAT_QUANTILE) quantile_count(f->counts, h, n * d);
    if (a->stats & (STAT_SECOND | STAT_CLASSES | STAT_MEAN))
        scatter_add(&f->moments, h, n,
                    f->classes.of_row != NULL ? f->classes.of_row + begin : NULL);
    if (f->unit.second != NULL) TRY(unit_add(f, h, begin, n));
    if (a->stats & STAT_TRUE) {
        for (size_t i = 0; i < n; i++) {
            int64_t y = f->o->train->labels[begin + i];
            a->of[i] = y >= 0 && y < (int64_t)f->c ? (int32_t)y : -1;
        }
        class_sums_add(&f->labelled, h, a->of, n);
    }
    if (f->moments.second_elsewhere) {
        if (begin == 0) TRY(la->ops->moments_begin(la, d, f->moments.shift, 1, f->moments.second));
        TRY(la->ops->moments_add(la, h, NULL, n));
    }
    if (a->stats & STATS_OF_LOGITS) TRY(pass_logits(a, begin, n, h));
done:
    return rc;
}

/* Train sets without features: stored logits only. */
static int pass_stored(pass *a)
{
    int rc = 0;
    size_t rows = a->f->o->train->n;
    for (size_t begin = 0; begin < rows; begin += TRAIN_ROWS)
        TRY(pass_logits(a, begin, rows - begin < TRAIN_ROWS ? rows - begin : TRAIN_ROWS, NULL));
done:
    return rc;
}

static int run_pass(fit_context *f, unsigned stats)
{
    int rc = 0;
    const source *train = f->o->train;
    pass a = {.f = f, .stats = stats};
    if (stats & STAT_QUANTILE)
        TRY(budget_zeroed(f->mem, &f->counts, 1, sizeof *f->counts, "quantile counts"));
    if (stats & STAT_CLASSES) TRY(class_index_new(&f->classes, train->labels, train->n, f->mem));
    if (stats & (STAT_SECOND | STAT_CLASSES | STAT_MEAN))
        TRY(scatter_init(&f->moments, f->d, f->classes.k, (stats & STAT_SECOND) != 0, f->mem));
    f->moments.second_elsewhere = f->la->ops->device && f->moments.second != NULL;
    /* a device sums one stream at a time: then in a pass of its own, when asked for */
    if ((stats & STAT_UNIT) && !f->la->ops->device) TRY(unit_open(f));
    if (stats & STAT_TRUE) TRY(class_sums_new(&f->labelled, f->c, f->d, f->mem));
    if (stats & STAT_CORRECT) TRY(class_sums_new(&f->correct, f->c, f->d, f->mem));
    if (stats & STAT_PREDICTED) TRY(class_sums_new(&f->predicted, f->c, f->d, f->mem));
    if (stats & STAT_CORRECT_LOGITS) TRY(class_sums_new(&f->correct_logits, f->c, f->c, f->mem));
    TRY(budget_new(f->mem, &a.of, TRAIN_ROWS, sizeof *a.of, "classes of a block"));
    if (stats & STATS_OF_LOGITS) {
        TRY(budget_new(f->mem, &a.z, TRAIN_ROWS * f->c, sizeof *a.z, "logits of a block"));
        TRY(budget_new(f->mem, &a.p, TRAIN_ROWS * f->c, sizeof *a.p, "softmax of a block"));
        TRY(budget_new(f->mem, &a.sums, TRAIN_ROWS, sizeof *a.sums, "softmax of a block"));
    }
    if (stats & STAT_TEMPLATES) {
        TRY(budget_zeroed(f->mem, &f->template_sum, f->c * f->c, sizeof *f->template_sum,
                          "templates"));
        TRY(budget_zeroed(f->mem, &f->template_count, f->c, sizeof *f->template_count,
                          "templates"));
    }
    if (train->d > 0) TRY(rows_each(train, f->mem, pass_block, &a));
    else TRY(pass_stored(&a));
    if (f->moments.second_elsewhere) TRY(f->la->ops->moments_end(f->la));
    f->mean_max_logit = a.max_sum / (double)train->n;
    f->mean_lse = a.lse_sum / (double)train->n;
    f->mean_msp = a.msp_sum / (double)train->n;
done:
    budget_free(f->mem, &a.z);
    budget_free(f->mem, &a.p);
    budget_free(f->mem, &a.sums);
    budget_free(f->mem, &a.of);
    return rc;
}

int fit_open(fit_context *f, const engine_options *o, unsigned stats, budget *mem)
{
    int rc = 0;
    memset(f, 0, sizeof *f);
    f->o = o;
    f->mem = mem;
    f->d = o->id->d;
    f->c = o->head != NULL ? o->head->c : o->id->c;
    f->la = o->la;
    if (f->la == NULL) TRY(linalg_cpu_open(&f->la, mem));
    if (o->head != NULL) {
        linalg_values w = { .n = o->head->c, .k = o->head->d, .f32 = o->head->w, .f32_only = 1 };
        TRY(f->la->ops->keep(f->la, &f->kept_head, &w));
    }
    if (o->train != NULL && stats != 0) TRY(run_pass(f, stats));
done:
    return rc;
}

void fit_done(fit_context *f)
{
    budget *m = f->mem;
    scatter_clear(&f->moments);
    unit_close(f);
    class_index_clear(&f->classes, m);
    class_sums_clear(&f->labelled, m);
    class_sums_clear(&f->correct, m);
    class_sums_clear(&f->predicted, m);
    class_sums_clear(&f->correct_logits, m);
    budget_free(m, &f->counts);
    budget_free(m, &f->template_sum);
    budget_free(m, &f->template_count);
    budget_free(m, &f->u_exact);
}

void fit_close(fit_context *f)
{
    budget *m = f->mem;
    if (m == NULL) return;
    fit_done(f);
    if (f->la != NULL) {
        nearest_close(f);
        gaussian_close(f);
        f->la->ops->drop(f->la, &f->kept_head);
        f->la->ops->drop(f->la, &f->kept_u);
        f->la->ops->drop(f->la, &f->kept_vectors);
        f->la->ops->drop(f->la, &f->q.kept);
        if (f->la != f->o->la) f->la->ops->close(&f->la);
    }
    coverages_free(&f->coverage, m);
    budget_free(m, &f->head_t);
    budget_free(m, &f->u);
    budget_free(m, &f->vectors);
    budget_free(m, &f->q.of);
    budget_free(m, &f->q.logq);
    budget_free(m, &f->q.logq_exact);
    free(f->quantile);
    free(f->wanted);
    f->quantile = NULL;
    f->wanted = NULL;
}

/* ---- what follows from it -------------------------------------------------------------------- */

static int known(const fit_context *f, const source *set, double q)
{
    for (size_t i = 0; i < f->quantiles; i++)
        if (f->quantile[i].set == set && f->quantile[i].q == q) return 1;
    return 0;
}

int fit_want_quantile(fit_context *f, int of, double q)
{
    int rc = 0;
    for (size_t i = 0; i < f->n_wanted; i++)
        if (f->wanted[i].of == of && f->wanted[i].q == q) return 0;
    TRY(mem_grow(&f->wanted, &f->wanted_room, f->n_wanted + 1, sizeof *f->wanted, "quantiles"));
    f->wanted[f->n_wanted++] = (quantile_wanted){ of, q };
done:
    return rc;
}

/* q and whatever was announced for this set, from one pass. */
static int find_quantiles(fit_context *f, const source *set, double q)
{
    int rc = 0, of = set == f->o->train    ? QUANTILE_OF_TRAIN
                     : set == f->o->val_id ? QUANTILE_OF_VAL
                                           : QUANTILE_OF_TEST;
    size_t n = 0;
    double *all = NULL, *value = NULL;
    TRY(mem_new(&all, f->n_wanted + 1, sizeof *all, "quantiles"));
    TRY(mem_new(&value, f->n_wanted + 1, sizeof *value, "quantiles"));
    all[n++] = q;
    for (size_t i = 0; i < f->n_wanted; i++)
        if (f->wanted[i].of == of && f->wanted[i].q != q && !known(f, set, f->wanted[i].q))
            all[n++] = f->wanted[i].q;
    TRY(quantile_features_many(set, all, n, of == QUANTILE_OF_TRAIN ? f->counts : NULL, f->mem, value));
    TRY(mem_grow(&f->quantile, &f->quantiles_room, f->quantiles + n, sizeof *f->quantile,
                 "quantiles"));
    for (size_t i = 0; i < n; i++)
        f->quantile[f->quantiles++] = (quantile_known){ set, all[i], value[i] };
done:
    free(value);
    free(all);
    return rc;
}

int fit_quantile(fit_context *f, const source *set, double q, double *value)
{
    int rc = 0;
    for (size_t i = 0; i < f->quantiles; i++)
        if (f->quantile[i].set == set && f->quantile[i].q == q) {
            *value = f->quantile[i].value;
            return 0;
        }
    TRY(find_quantiles(f, set, q));
    TRY(fit_quantile(f, set, q, value));
done:
    return rc;
}

int fit_origin(fit_context *f)
{
    int rc = 0;
    const head *w = f->o->head;
    size_t rank;
    if (f->u != NULL) goto done;
    TRY(budget_new(f->mem, &f->u_exact, f->d, sizeof *f->u_exact, "origin"));
    TRY(budget_new(f->mem, &f->u, f->d, sizeof *f->u, "origin"));
    TRY(linalg_pinv_solve(w->c, w->d, w->w, w->b, f->u_exact, &rank));
    if (rank < (w->c < w->d ? w->c : w->d))
        log_info("head [%zu,%zu]: rank %zu, singular values below %g of the largest count as zero",
                 w->c, w->d, rank, PINV_CUTOFF);
    for (size_t j = 0; j < f->d; j++) {
        f->u_exact[j] = -f->u_exact[j];
        f->u[j] = (float)f->u_exact[j];
    }
    TRY(f->la->ops->keep(f->la, &f->kept_u, &(linalg_values){ .n = 1, .k = f->d, .f32 = f->u }));
done:
    return rc;
}

/* Eigenvectors of the k smallest eigenvalues, as rows. */
static int find_vectors(fit_context *f, size_t k)
{
    int rc = 0;
    size_t d = f->d;
    double *a = NULL, *w = NULL;
    if (f->vectors_k >= k) goto done;
    TRY(fit_origin(f));
    f->la->ops->drop(f->la, &f->kept_vectors);
    budget_free(f->mem, &f->vectors);
    f->vectors_k = 0;
    TRY(budget_new(f->mem, &f->vectors, k * d, sizeof *f->vectors, "residual space"));
    TRY(budget_new(f->mem, &a, d * d, sizeof *a, "second moment"));
    TRY(budget_new(f->mem, &w, d, sizeof *w, "eigenvalues"));
    scatter_about(&f->moments, f->u_exact, a);
    TRY(f->la->ops->eigh(f->la, d, a, w, 0, k));
    for (size_t i = 0; i < k * d; i++)
        f->vectors[i] = (float)a[i];
    TRY(f->la->ops->keep(f->la, &f->kept_vectors, &(linalg_values){ .n = k, .k = d, .f32 = f->vectors }));
    f->vectors_k = k;
    for (size_t i = 0; i < f->spaces; i++) {
        f->space[i].r = f->vectors;
        f->space[i].kept_r = f->kept_vectors;
    }
done:
    budget_free(f->mem, &a);
    budget_free(f->mem, &w);
    return rc;
}

void fit_want_residual(fit_context *f, size_t dim)
{
    if (dim > 0 && dim < f->d && (f->least_dim == 0 || dim < f->least_dim)) f->least_dim = dim;
}

int fit_residual(fit_context *f, size_t dim, const residual_space **out)
{
    int rc = 0;
    residual_space *r;
    for (size_t i = 0; i < f->spaces; i++)
        if (f->space[i].dim == dim) {
            *out = &f->space[i];
            return 0;
        }
    CHECK(f->spaces < SPACES_MAX, ERR_USAGE, "more than %d different dims in one run", SPACES_MAX);
    if (f->least_dim > 0 && f->least_dim < dim) TRY(find_vectors(f, f->d - f->least_dim));
    TRY(find_vectors(f, f->d - dim));
    r = &f->space[f->spaces++];
    *r = (residual_space){f->d,  dim,        f->d - dim,     f->u, f->vectors,
                          f->la, f->kept_u, f->kept_vectors};
    *out = r;
done:
    return rc;
}

typedef struct norm_pass {
    const residual_space *r;
    float *norm;
    double sum;
} norm_pass;

static int add_norms(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    int rc = 0;
    norm_pass *a = arg;
    (void)begin;
    (void)d;
    TRY(residual_norms(a->r, h, n, a->norm));
    for (size_t i = 0; i < n; i++)
        a->sum += (double)a->norm[i];
done:
    return rc;
}

int fit_alpha(fit_context *f, const residual_space *r, double *alpha)
{
    int rc = 0;
    size_t at = (size_t)(r - f->space);
    norm_pass a = {r, NULL, 0};
    *alpha = f->alpha[at];
    if (*alpha != 0) goto done;
    TRY(budget_new(f->mem, &a.norm, TRAIN_ROWS, sizeof *a.norm, "residuals of a block"));
    TRY(rows_each(f->o->train, f->mem, add_norms, &a));
    *alpha = f->alpha[at] = f->mean_max_logit / (a.sum / (double)f->o->train->n);
done:
    budget_free(f->mem, &a.norm);
    return rc;
}

int fit_templates(fit_context *f, const templates **out)
{
    int rc = 0;
    templates *t = &f->q;
    size_t c = f->c, at = 0;
    *out = t;
    if (t->logq != NULL) goto done;
    t->c = c;
    for (size_t k = 0; k < c; k++)
        t->k += f->template_count[k] > 0;
    if (t->k < c)
        log_info("kl-matching: %zu of %zu classes are never predicted on train and are left out",
                 c - t->k, c);
    TRY(budget_new(f->mem, &t->of, t->k, sizeof *t->of, "templates"));
    TRY(budget_new(f->mem, &t->logq, t->k * c, sizeof *t->logq, "templates"));
    TRY(budget_new(f->mem, &t->logq_exact, t->k * c, sizeof *t->logq_exact, "templates"));
    for (size_t k = 0; k < c; k++) {
        if (f->template_count[k] == 0) continue;
        for (size_t j = 0; j < c; j++) {
            /* the published templates are f32 */
            float q = (float)(f->template_sum[k * c + j] / (double)f->template_count[k]);
            t->logq_exact[at * c + j] = log((double)q);
            t->logq[at * c + j] = q > 0 ? (float)t->logq_exact[at * c + j] : TEMPLATE_LOG_ZERO;
        }
        t->of[at++] = k;
    }
    TRY(f->la->ops->keep(f->la, &t->kept,
                         &(linalg_values){ .n = t->k, .k = c, .f32 = t->logq, .f64 = t->logq_exact }));
done:
    return rc;
}

int fit_head_transposed(fit_context *f)
{
    int rc = 0;
    const head *w = f->o->head;
    if (f->head_t != NULL) goto done;
    TRY(budget_new(f->mem, &f->head_t, w->c * w->d, sizeof *f->head_t, "transposed head"));
    for (size_t i = 0; i < w->c; i += 32)
        for (size_t j = 0; j < w->d; j++)
            for (size_t k = i; k < w->c && k < i + 32; k++)
                f->head_t[j * w->c + k] = w->w[k * w->d + j];
done:
    return rc;
}
