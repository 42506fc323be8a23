#include "score/stats/within.h"
#include "common/err.h"
#include "common/log.h"
#include "score/linalg.h"
#include "score/stats/rows.h"
#include "score/stats/unit.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A diagonal element that keeps less than this of its total has cancelled. */
#define KEEPS 1e-6
/* Above this reciprocal condition nothing is near the cut-off and Cholesky is as good. */
#define WELL_CONDITIONED 1e-9

/* The rows of a covariance and their classes. */
typedef struct sample {
    fit_context *f;
    scatter m; /* borrowed sums; all rows together are one class */
    size_t k, labelled;
    const size_t *count;   /* [k] */
    const int32_t *of_row; /* NULL: all of class 0 */
    int unit;              /* rows of length 1 */
    float *scratch;        /* [TRAIN_ROWS,d] for them */
} sample;

static void sample_of(fit_context *f, int which, sample *s)
{
    memset(s, 0, sizeof *s);
    s->f = f;
    s->unit = (which & GAUSSIAN_UNIT) != 0;
    s->m = s->unit ? f->unit : f->moments;
    if (which & GAUSSIAN_POOLED) {
        s->m.k = s->k = 1;
        s->m.class_sum = s->m.sum;
        s->labelled = s->m.n;
    } else {
        s->k = f->classes.k;
        s->count = f->classes.count;
        s->labelled = f->classes.labelled;
        s->of_row = f->classes.of_row;
    }
    if (s->count == NULL) s->count = &s->labelled;
}

/* Class means relative to shift, f64, over the counted rows. */
static double class_mean(const sample *s, size_t k, size_t j)
{
    return s->m.class_sum[k * s->m.d + j] / (double)s->count[k];
}

/* ---- from the sums --------------------------------------------------------------------------- */

/* Divides rows and columns by the square roots of the diagonal; ok = 0 when an element cancelled.
 * A feature that never varies has a zero row: its diagonal becomes one, its scale 0. */
static int unit_diagonal(const sample *s, double *a, double *scale)
{
    size_t d = s->m.d;
    double n = (double)s->m.n;
    for (size_t i = 0; i < d; i++) {
        double total = s->m.second[i * d + i] / n, v = a[i * d + i];
        if (total == 0) {
            scale[i] = 0;
            a[i * d + i] = 1;
            continue;
        }
        if (!(v > KEEPS * total)) return 0;
        scale[i] = 1 / sqrt(v);
    }
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++)
            if (i != j || scale[i] != 0) a[i * d + j] *= scale[i] * scale[j];
    return 1;
}

/* eigenvalue cut-off of pinvh against the scaled matrix: the scaling can hide a ratio of variances */
static double variance_ratio(const double *scale, size_t d)
{
    double low = INFINITY, high = 0;
    for (size_t i = 0; i < d; i++) {
        if (scale[i] == 0) continue;
        low = fmin(low, scale[i]);
        high = fmax(high, scale[i]);
    }
    return high == 0 ? 0 : (low / high) * (low / high);
}

static int by_cholesky(const sample *s, whitening *w, double *a, double *scale, double *scratch,
                       int *ok)
{
    int rc = 0;
    size_t d = s->m.d;
    double rcond;
    *ok = 0;
    if (s->labelled != s->m.n || s->m.n <= d) goto done;
    scatter_within(&s->m, s->count, a);
    if (!unit_diagonal(s, a, scale)) goto done;
    TRY(linalg_cholesky(d, a, &rcond, scratch));
    w->rcond = rcond;
    if (rcond * variance_ratio(scale, d) < (double)d * DBL_EPSILON * 1e3 ||
        rcond < WELL_CONDITIONED)
        goto done;
    TRY(linalg_invert_lower(d, a));
    w->r = d;
    for (size_t i = 0; i < d; i++)
        w->rank += scale[i] != 0;
    w->triangular = 1;
    *ok = 1;
done:
    return rc;
}

/* ---- from a second pass ---------------------------------------------------------------------- */

static int add_centred(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    const sample *s = arg;
    linalg *la = s->f->la;
    if (s->unit) {
        rows_unit(h, n, d, s->scratch);
        h = s->scratch;
    }
    return la->ops->moments_add(la, h, s->of_row != NULL ? s->of_row + begin : NULL, n);
}

/* Variance that rounding of the means can leave where there is none: f32 data that differ at all
 * do so by 6e-8 of their size in one row of n, which is far more for any n. */
static double rounding_variance(const scatter *m)
{
    double top = 0;
    for (size_t j = 0; j < m->d; j++)
        top = fmax(top, m->second[j * m->d + j] / (double)m->n + m->shift[j] * m->shift[j]);
    return 1e-26 * top;
}

/* Rows of a become eigenvectors over the root of their eigenvalue; returns how many are kept. */
static size_t keep_directions(double *a, const double *w, size_t d, double zero, double *rcond)
{
    double top = 0, cut;
    size_t kept = 0;
    for (size_t i = 0; i < d; i++)
        top = fmax(top, fabs(w[i]));
    if (top <= zero) return 0;
    cut = (double)d * DBL_EPSILON * top;
    for (size_t i = 0; i < d; i++) {
        if (!(w[i] > cut)) continue; /* a negative one above the cut is rounding too */
        for (size_t j = 0; j < d; j++)
            a[kept * d + j] = a[i * d + j] / sqrt(w[i]);
        if (kept++ == 0) *rcond = w[i] / top;
    }
    return kept;
}

static int by_eigenvectors(sample *s, whitening *w, double *a)
{
    int rc = 0;
    fit_context *f = s->f;
    size_t d = f->d, k = s->k;
    budget *mem = f->mem;
    double *mean = NULL, *values = NULL;
    TRY(budget_new(mem, &mean, k * d, sizeof *mean, "class means"));
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < d; j++)
            mean[i * d + j] = s->m.shift[j] + class_mean(s, i, j);
    if (s->unit) TRY(budget_new(mem, &s->scratch, TRAIN_ROWS * d, sizeof *s->scratch, "normalised rows"));
    TRY(f->la->ops->moments_begin(f->la, d, mean, k, a));
    TRY(rows_each(f->o->train, mem, add_centred, s));
    TRY(f->la->ops->moments_end(f->la));
    budget_free(mem, &mean);
    for (size_t i = 0; i < d * d; i++)
        a[i] /= (double)s->labelled;
    TRY(budget_new(mem, &values, d, sizeof *values, "eigenvalues"));
    TRY(f->la->ops->eigh(f->la, d, a, values, 0, d));
    w->r = keep_directions(a, values, d, rounding_variance(&s->m), &w->rcond);
    w->rank = w->r;
    if (w->r == 0) rc = fit_refuse(f, "the %s covariance of the train features is zero", w->what);
done:
    budget_free(mem, &s->scratch);
    budget_free(mem, &mean);
    budget_free(mem, &values);
    return rc;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* mean[k,r] = a (m_k - centre), norm[k], in f64. */
static int whiten_means(const sample *s, whitening *w, const double *a)
{
    int rc = 0;
    fit_context *f = s->f;
    enum { BATCH = 256 };
    size_t d = w->d, r = w->r;
    double *x = NULL, *y = NULL;
    TRY(budget_new(f->mem, &x, BATCH * d, sizeof *x, "class means"));
    TRY(budget_new(f->mem, &y, BATCH * r, sizeof *y, "class means"));
    for (size_t begin = 0; begin < w->k; begin += BATCH) {
        size_t n = w->k - begin < BATCH ? w->k - begin : BATCH;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < d; j++)
                x[i * d + j] =
                    s->m.shift[j] + class_mean(s, begin + i, j) - (double)w->centre[j];
        if (w->triangular) linalg_dgemm_lower(n, d, x, a, y);
        else linalg_dgemm_abt(n, r, d, x, d, a, d, 0, y, r);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < r; j++) {
                float v = (float)y[i * r + j];
                w->mean[(begin + i) * r + j] = v;
                sum += (double)v * (double)v;
            }
            w->norm[begin + i] = sum;
        }
    }
done:
    budget_free(f->mem, &x);
    budget_free(f->mem, &y);
    return rc;
}

/* a = inverse factor of the scaled matrix: its columns take the scale, the upper triangle is cleared. */
static void unscale(double *a, const double *scale, size_t d)
{
#pragma omp parallel for
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            a[i * d + j] = j <= i && scale[i] != 0 ? a[i * d + j] * scale[j] : 0;
}

/* a *= 2^-e with the largest |a| in [2^(e-1), 2^e); returns 4^e.  |a| is 1 / sqrt of a variance of f32
 * data, so the powers are in range. */
static double normalise(double *a, size_t n)
{
    double top = 0, scale;
    int e;
    for (size_t i = 0; i < n; i++)
        top = fabs(a[i]) > top ? fabs(a[i]) : top;
    frexp(top, &e);
    scale = ldexp(1, -e);
    for (size_t i = 0; i < n; i++)
        a[i] *= scale;
    return ldexp(1, 2 * e);
}

/* A singular covariance is never silent. */
static void report(const whitening *w)
{
    if (w->rank < w->d)
        log_warn(
            "mahalanobis: the %s covariance has rank %zu of %zu (fewer rows than "
            "features, "
            "or features that do not vary): pseudo-inverse, eigenvalues up to %.1e of the largest "
            "dropped",
            w->what, w->rank, w->d, (double)w->d * DBL_EPSILON);
    log_debug("mahalanobis: condition %.2e over %zu directions, %zu classes", 1 / w->rcond, w->rank,
              w->k);
}

/* Hands the fitted arrays to where rows are scored. */
static int keep_all(fit_context *f, whitening *w)
{
    int rc = 0;
    linalg_values a = { .n = w->r, .k = w->d, .f32 = w->a, .f64 = w->exact, .lower = w->triangular };
    linalg_values centre = { .n = 1, .k = w->d, .f32 = w->centre };
    linalg_values mean = { .n = w->k, .k = w->r, .f32 = w->mean };
    linalg_values norm = { .n = 1, .k = w->k, .f64 = w->norm };
    w->la = f->la;
    TRY(w->la->ops->keep(w->la, &w->kept_a, &a));
    TRY(w->la->ops->keep(w->la, &w->kept_centre, &centre));
    TRY(w->la->ops->keep(w->la, &w->kept_mean, &mean));
    TRY(w->la->ops->keep(w->la, &w->kept_norm, &norm));
done:
    return rc;
}

int within_fit(fit_context *f, int which, whitening *w)
{
    int rc = 0, ok;
    sample s;
    size_t d = f->d;
    budget *mem = f->mem;
    double *a = NULL, *scale = NULL, *scratch = NULL;
    memset(w, 0, sizeof *w);
    if (which & GAUSSIAN_UNIT) TRY(fit_unit(f));
    sample_of(f, which, &s);
    if (s.labelled == 0)
        return fit_refuse(f, "no train row has a label (all are negative)");
    w->d = d;
    w->k = s.k;
    w->what = which & GAUSSIAN_POOLED ? "total" : "within-class";
    TRY(budget_new(mem, &a, d * d, sizeof *a, "within-class covariance"));
    TRY(budget_new(mem, &scale, d, sizeof *scale, "within-class covariance"));
    TRY(budget_new(mem, &scratch, 4 * d, sizeof *scratch, "within-class covariance"));
    TRY(by_cholesky(&s, w, a, scale, scratch, &ok));
    if (ok) unscale(a, scale, d);
    else TRY(by_eigenvectors(&s, w, a));
    if (rc == FIT_REFUSED) goto done;
    report(w);
    TRY(budget_new(mem, &w->centre, d, sizeof *w->centre, "train mean"));
    TRY(budget_new(mem, &w->mean, w->k * w->r, sizeof *w->mean, "class means"));
    TRY(budget_new(mem, &w->norm, w->k, sizeof *w->norm, "class means"));
    for (size_t j = 0; j < d; j++)
        w->centre[j] = (float)(s.m.shift[j] + s.m.sum[j] / (double)s.m.n);
    w->unit = normalise(a, w->r * d);
    TRY(whiten_means(&s, w, a));
    if (w->rcond < WHITEN_F32) {
        w->exact = a;
        a = NULL;
    } else {
        TRY(budget_new(mem, &w->a, w->r * d, sizeof *w->a, "whitening"));
        for (size_t i = 0; i < w->r * d; i++)
            w->a[i] = (float)a[i];
    }
    TRY(keep_all(f, w));
done:
    budget_free(mem, &a);
    budget_free(mem, &scale);
    budget_free(mem, &scratch);
    if (rc < 0) within_clear(w, mem);
    return rc;
}

void within_clear(whitening *w, budget *mem)
{
    if (w->la != NULL) {
        w->la->ops->drop(w->la, &w->kept_a);
        w->la->ops->drop(w->la, &w->kept_centre);
        w->la->ops->drop(w->la, &w->kept_mean);
        w->la->ops->drop(w->la, &w->kept_norm);
    }
    budget_free(mem, &w->centre);
    budget_free(mem, &w->a);
    budget_free(mem, &w->exact);
    budget_free(mem, &w->mean);
    budget_free(mem, &w->norm);
}
