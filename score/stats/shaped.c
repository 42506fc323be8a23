#include "score/stats/shaped.h"
#include "common/err.h"
#include "score/stats/rows.h"

#include <string.h>

/* A column of W costs about as much as four of a product. */
enum { SPARSE = 4 };

int shaped_plain(const score_block *b)
{
    return b->z != NULL && !logits_stored(b->cache->f->o, b->set);
}

/* z = b + sum_j h_j W_j, W' [d,c] row by row */
static void sum_columns(const rowmath *m, const fit_context *f, const float *h, float *z)
{
    memset(z, 0, f->c * sizeof *z);
    for (size_t j = 0; j < f->d; j++)
        if (h[j] != 0) m->axpy(f->c, h[j], f->head_t + j * f->c, z);
}

int shaped_logits(const score_block *b, const shaping *s, float **out)
{
    int rc = 0;
    fit_context *f = b->cache->f;
    const rowmath *m = rowmath_best();
    const float *bias = f->o->head->b, *from = b->h;
    size_t d = b->d, c = b->c;
    int sparse = s->w == NULL && s->most > 0 && s->most * SPARSE <= d && !f->la->ops->device;
    float *h = NULL, *z;
    if (sparse) TRY(fit_head_transposed(f));
    TRY(block_work(b, 2, b->cache->rows * c, &z));
    if (s->shape != NULL) {
        TRY(block_work(b, 1, b->cache->rows * d, &h));
        from = h;
    }
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        if (s->shape != NULL) s->shape(s->arg, b, i, h + i * d);
        if (sparse) sum_columns(m, f, from + i * d, z + i * c);
    }
    if (!sparse) TRY(f->la->ops->product(f->la, s->w != NULL ? s->w : f->kept_head, from, b->n, z));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < c; k++)
            z[i * c + k] += bias[k];
    TRY(rows_check_finite(b->set, b->row, b->n, c, z, "logits of the changed features"));
    *out = z;
done:
    return rc;
}

void energy_of_logits(const score_block *b, const float *z, float *out)
{
    const rowmath *m = rowmath_best();
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        row_sums sums;
        m->softmax(z + i * b->c, b->c, NULL, &sums);
        out[i] = (float)sums.lse;
    }
}

int shaped_energy(const score_block *b, const shaping *s, float *out)
{
    int rc = 0;
    float *z;
    TRY(shaped_logits(b, s, &z));
    energy_of_logits(b, z, out);
done:
    return rc;
}
