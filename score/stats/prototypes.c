#include "score/stats/prototypes.h"
#include "common/err.h"
#include "common/log.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };

double rows_dot(const float *a, const float *b, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)a[j + l] * (double)b[j + l];
    for (size_t l = 0; j < n; j++, l++)
        lane[l] += (double)a[j] * (double)b[j];
    for (size_t l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

double rows_square(const float *a, size_t n)
{
    return rows_dot(a, a, n);
}

double rows_l1(const float *a, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)fabsf(a[j + l]);
    for (size_t l = 0; j < n; j++, l++)
        lane[l] += (double)fabsf(a[j]);
    for (size_t l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

int prototypes_fit(prototypes *q, fit_context *f, class_kind kind, const char *who)
{
    int rc = 0;
    double *mean = NULL;
    size_t absent = 0;
    memset(q, 0, sizeof *q);
    q->mem = f->mem;
    q->c = f->c;
    q->d = f->d;
    TRY(budget_new(f->mem, &mean, q->c * q->d, sizeof *mean, "class means"));
    TRY(fit_class_means(f, kind, mean, &absent));
    if (rc == FIT_REFUSED) goto done;
    if (absent > 0)
        log_info("%s: %zu of %zu classes have no %s, they get the zero vector", who, absent, q->c,
                 kind == CLASS_TRUE      ? "train row"
                 : kind == CLASS_CORRECT ? "train row predicted as labelled"
                                         : "train row predicted as them");
    TRY(budget_new(f->mem, &q->m, q->c * q->d, sizeof *q->m, "class means"));
    TRY(budget_new(f->mem, &q->norm, q->c, sizeof *q->norm, "class means"));
    for (size_t i = 0; i < q->c * q->d; i++)
        q->m[i] = (float)mean[i];
    for (size_t k = 0; k < q->c; k++)
        q->norm[k] = sqrt(rows_square(q->m + k * q->d, q->d));
done:
    budget_free(f->mem, &mean);
    return rc;
}

void prototypes_clear(prototypes *q)
{
    if (q->mem == NULL) return;
    budget_free(q->mem, &q->m);
    budget_free(q->mem, &q->norm);
}
