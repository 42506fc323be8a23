#include "score/stats/logits.h"
#include "common/err.h"
#include "score/stats/fit.h"
#include "score/stats/rows.h"

int logits_stored(const engine_options *o, const source *s)
{
    int computable = o->head != NULL && s->d > 0;
    return s->c > 0 && (o->stored_logits || !computable);
}

int logits_available(const engine_options *o, const source *s)
{
    return s->c > 0 || (o->head != NULL && s->d > 0);
}

int logits_compute(fit_context *f, const float *h, size_t n, float *z)
{
    int rc = 0;
    const head *w = f->o->head;
    size_t c = w->c;
    TRY(f->la->ops->product(f->la, f->kept_head, h, n, z));
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c; j++)
            z[i * c + j] += w->b[j];
done:
    return rc;
}

int logits_of_rows(fit_context *f, const source *s, size_t begin, size_t n, const float *h, float *z,
                   const float **v)
{
    if (logits_stored(f->o, s)) return source_logits(s, begin, n, z, v);
    *v = z;
    return logits_compute(f, h, n, z);
}

int logits_softmax(const rowmath *m, const source *s, size_t begin, const float *z, size_t n,
                   size_t c, float *p, row_sums *sums)
{
    int rc = rows_check_finite(s, begin, n, c, z, "logits");
    if (rc < 0) return rc;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        m->softmax(z + i * c, c, p != NULL ? p + i * c : NULL, &sums[i]);
    return 0;
}
