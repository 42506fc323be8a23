#include "score/stats/logits.h"
#include "common/err.h"
#include "score/linalg.h"
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

void logits_compute(const head *w, const float *h, size_t n, float *z)
{
    size_t c = w->c;
    linalg_gemm_abt(n, c, w->d, h, w->d, w->w, w->d, 0, z, c);
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c; j++)
            z[i * c + j] += w->b[j];
}

int logits_of_rows(const engine_options *o, const source *s, size_t begin, size_t n, const float *h,
                   float *z, const float **v)
{
    if (logits_stored(o, s)) return source_logits(s, begin, n, z, v);
    logits_compute(o->head, h, n, z);
    *v = z;
    return 0;
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
