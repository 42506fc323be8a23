#include "score/stats/kl.h"
#include "common/err.h"

#include <math.h>
#include <string.h>

/* One row, from the sums of a class of n > 0 rows. */
static void template_of(const double *sum, double n, size_t c, int flags, float *logq, double *exact)
{
    double total = 0;
    for (size_t j = 0; j < c; j++)
        total += (double)(float)(sum[j] / n); /* the published templates are f32 */
    if (!(flags & KL_NORMALISE)) total = 1;
    for (size_t j = 0; j < c; j++) {
        float q = (float)(sum[j] / n);
        exact[j] = log((double)q / total);
        logq[j] = q > 0 ? (float)exact[j] : TEMPLATE_LOG_ZERO;
    }
}

int kl_fit(kl_templates *t, fit_context *f, const class_sums *s, int flags, size_t *absent)
{
    int rc = 0;
    size_t c = s->c, at = 0;
    linalg_values v = {.k = c};
    memset(t, 0, sizeof *t);
    t->mem = f->mem;
    t->la = f->la;
    t->c = c;
    *absent = 0;
    for (size_t k = 0; k < c; k++)
        *absent += s->count[k] == 0;
    t->k = v.n = (flags & KL_ONE_HOT) ? c : c - *absent;
    TRY(budget_new(f->mem, &t->logq, t->k * c, sizeof *t->logq, "templates"));
    TRY(budget_new(f->mem, &t->logq_exact, t->k * c, sizeof *t->logq_exact, "templates"));
    for (size_t k = 0; k < c; k++) {
        float *logq = t->logq + at * c;
        double *exact = t->logq_exact + at * c;
        if (s->count[k] > 0) template_of(s->sum + k * c, (double)s->count[k], c, flags, logq, exact);
        else if (!(flags & KL_ONE_HOT)) continue;
        else
            for (size_t j = 0; j < c; j++) {
                exact[j] = j == k ? 0 : -INFINITY;
                logq[j] = j == k ? 0 : TEMPLATE_LOG_ZERO;
            }
        at++;
    }
    v.f32 = t->logq;
    v.f64 = t->logq_exact;
    TRY(f->la->ops->keep(f->la, &t->kept, &v));
done:
    if (rc < 0) kl_clear(t);
    return rc;
}

void kl_clear(kl_templates *t)
{
    if (t->mem == NULL) return;
    if (t->la != NULL) t->la->ops->drop(t->la, &t->kept);
    budget_free(t->mem, &t->logq);
    budget_free(t->mem, &t->logq_exact);
}

int kl_score(const kl_templates *t, const score_block *b, int flags, float *out)
{
    int rc = 0;
    float *room;
    double *least;
    TRY(block_work(b, 0, 2 * b->cache->rows, &room));
    least = (double *)(void *)room;
    TRY(t->la->ops->cross_entropy(t->la, t->kept, b->p, b->n, least));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double total = 1;
        if (flags & KL_NORMALISE) {
            total = 0;
            for (size_t k = 0; k < b->c; k++)
                total += (double)b->p[i * b->c + k];
        }
        out[i] = (float)-(b->plogp[i] + least[i] / total);
    }
done:
    return rc;
}
