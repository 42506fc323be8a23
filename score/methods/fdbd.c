/* fDBD, fast decision boundary.  Liu and Qin, ICML 2024, arXiv:2312.11536.
 *   S = sum_j |z_j - z_y| / |w_j - w_y| / n, y = argmax z, n = |h - m| (m the train mean) or |h|
 * Classes with the weights of y, whose boundary is nowhere, count nothing. */
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/prototypes.h"
#include "score/stats/shared.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    double *inverse; /* [c,c] 1 / |w_j - w_k|, 0 where that is nothing */
    float *mean;     /* [d], NULL: n = |h| */
    budget *mem;
} state_type;

static unsigned waives(const method_params *p)
{
    return strcmp(param_text(p, "by"), "norm") == 0 ? NEEDS_TRAIN : 0;
}

/* From the Gram matrix; again from the difference where that cancels. */
static void invert(const head *w, const double *gram, double *inverse)
{
    size_t c = w->c, d = w->d;
#pragma omp parallel for
    for (size_t i = 0; i < c; i++)
        for (size_t k = 0; k < c; k++) {
            double both = gram[i * c + i] + gram[k * c + k], q = both - 2 * gram[i * c + k];
            if (q < 1e-4 * both) {
                q = 0;
                for (size_t j = 0; j < d; j++) {
                    double t = (double)w->w[i * d + j] - (double)w->w[k * d + j];
                    q += t * t;
                }
            }
            inverse[i * c + k] = q > 0 ? 1 / sqrt(q) : 0;
        }
}

static int distances(fit_context *f, state_type *s)
{
    int rc = 0;
    const head *w = f->o->head;
    size_t c = w->c, d = w->d;
    double *exact = NULL, *gram = NULL;
    TRY(budget_new(f->mem, &s->inverse, c * c, sizeof *s->inverse, "distances between classes"));
    TRY(budget_new(f->mem, &exact, c * d, sizeof *exact, "head"));
    TRY(budget_new(f->mem, &gram, c * c, sizeof *gram, "distances between classes"));
    for (size_t i = 0; i < c * d; i++)
        exact[i] = (double)w->w[i];
    linalg_dgemm_abt(c, c, d, exact, d, exact, d, 0, gram, c);
    invert(w, gram, s->inverse);
done:
    budget_free(f->mem, &exact);
    budget_free(f->mem, &gram);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    double *mean = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "fDBD"));
    *state = s;
    s->mem = f->mem;
    TRY(distances(f, s));
    if (waives(p)) goto done;
    TRY(budget_new(f->mem, &s->mean, f->d, sizeof *s->mean, "mean feature"));
    TRY(mem_new(&mean, f->d, sizeof *mean, "mean feature"));
    fit_mean(f, mean);
    for (size_t j = 0; j < f->d; j++)
        s->mean[j] = (float)mean[j];
done:
    free(mean);
    return rc;
}

static double length_of(const float *h, const float *mean, size_t d)
{
    double sum = 0;
    if (mean == NULL) return sqrt(rows_square(h, d));
    for (size_t j = 0; j < d; j++)
        sum += ((double)h[j] - (double)mean[j]) * ((double)h[j] - (double)mean[j]);
    return sqrt(sum);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const state_type *s = state;
    (void)p;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *z = b->z + i * b->c;
        size_t y = b->sums[i].argmax;
        const double *inverse = s->inverse + y * b->c;
        double sum = 0, n = length_of(b->h + i * b->d, s->mean, b->d);
        for (size_t k = 0; k < b->c; k++)
            sum += fabs((double)z[k] - (double)z[y]) * inverse[k];
        sum /= n > 0 ? n : FLT_MIN;
        out[i] = sum < FLT_MAX ? (float)sum : FLT_MAX;
    }
    return 0;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->mem != NULL) {
        budget_free(s->mem, &s->inverse);
        budget_free(s->mem, &s->mean);
    }
    free(s);
    *state = NULL;
}

const method method_fdbd = {
    .name = "fdbd",
    .title = "fDBD",
    .formula = "sum_j |z_j - z_y| / |w_j - w_y| / |h - m|, m = mean train feature",
    .paper = "Liu and Qin, Fast Decision Boundary based Out-of-Distribution Detector, ICML 2024, "
             "arXiv:2312.11536",
    .quirks = "a sum over classes as in OpenOOD (pytorch-ood: the mean); classes with equal weights count "
              "nothing (0/0 in the published code); a row at the mean gets the largest f32",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_MEAN,
    .waives = waives,
    .opts = (const method_opt[]){{"by", "mean", "divided by the distance to the train mean, or by the norm",
                                  0, 0, "mean|norm", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
