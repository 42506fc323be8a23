#include "score/stats/shared.h"
#include "common/err.h"
#include "score/stats/gentropy.h"
#include "score/stats/gaussian.h"
#include "score/stats/nearest.h"
#include "score/stats/residual.h"

#include <math.h>
#include <string.h>

void block_cache_open(block_cache *b, fit_context *f, size_t rows)
{
    memset(b, 0, sizeof *b);
    b->f = f;
    b->rows = rows;
}

void block_cache_close(block_cache *b)
{
    if (b->f == NULL) return;
    for (int i = 0; i < CLIPPED_MAX; i++) {
        budget_free(b->f->mem, &b->clip[i].p);
        budget_free(b->f->mem, &b->clip[i].sums);
    }
    for (int i = 0; i < RESIDUALS_MAX; i++)
        budget_free(b->f->mem, &b->norm[i]);
    budget_free(b->f->mem, &b->gen);
    nearest_release(b);
    gaussian_release(b);
    for (int i = 0; i < 3; i++) {
        budget_free(b->f->mem, &b->work[i]);
        b->work_room[i] = 0;
    }
}

void block_cache_next(block_cache *b)
{
    b->clipped = b->next_clip = 0;
    b->residuals = b->next_residual = 0;
    b->gen_filled = 0;
    nearest_next(b);
    gaussian_next(b);
}

int block_work(const score_block *b, int which, size_t count, float **out)
{
    int rc = 0;
    block_cache *k = b->cache;
    if (k->work_room[which] < count) {
        budget_free(k->f->mem, &k->work[which]);
        k->work_room[which] = 0;
        TRY(budget_new(k->f->mem, &k->work[which], count, sizeof **out, "scratch of a block"));
        k->work_room[which] = count;
    }
    *out = k->work[which];
done:
    return rc;
}

int block_residual(const score_block *b, const residual_space *r, const float **norm)
{
    int rc = 0, at;
    block_cache *k = b->cache;
    for (int i = 0; i < k->residuals; i++)
        if (k->space[i] == r) {
            *norm = k->norm[i];
            return 0;
        }
    at = k->next_residual++ % RESIDUALS_MAX;
    if (k->residuals < RESIDUALS_MAX) k->residuals++;
    k->space[at] = NULL;
    if (k->norm[at] == NULL)
        TRY(budget_new(k->f->mem, &k->norm[at], k->rows, sizeof *k->norm[at],
                       "residuals of a block"));
    TRY(residual_norms(r, b->h, b->n, k->norm[at]));
    k->space[at] = r;
    *norm = k->norm[at];
done:
    return rc;
}

int block_gen(const score_block *b, const method_params *p, const float **out)
{
    int rc = 0;
    block_cache *k = b->cache;
    double gamma = param_double(p, "gamma");
    long long m = param_int(p, "m");
    *out = k->gen;
    if (k->gen_filled && k->gen_gamma == gamma && k->gen_m == m) goto done;
    if (k->gen == NULL)
        TRY(budget_new(k->f->mem, &k->gen, k->rows, sizeof *k->gen, "GEN of a block"));
    TRY(gentropy(b->p, b->n, b->c, gamma, (size_t)m, k->gen));
    k->gen_filled = 1;
    k->gen_gamma = gamma;
    k->gen_m = m;
    *out = k->gen;
done:
    return rc;
}

/* ---- clipped logits -------------------------------------------------------------------------- */

/* z = logits of one row after the clip, from the plain ones; 0 when the row must be computed afresh. */
static int correct_row(const rowmath *m, const score_block *b, size_t i, float clip, float *z)
{
    const float *h = b->h + i * b->d, *wt = b->cache->f->head_t;
    double lost = 0, kept = 0;
    m->clip_sums(h, b->d, clip, &lost, &kept);
    if (lost > kept) return 0;
    memcpy(z, b->z + i * b->c, b->c * sizeof *z);
    if (lost == 0) return 1;
    for (size_t j = 0; j < b->d; j++)
        if (h[j] > clip) m->axpy(b->c, clip - h[j], wt + j * b->c, z);
    return 1;
}

/* The rows of `todo` (n of them) from their clipped features, gathered; always BATCH of them, so that
 * the bits of a row do not depend on its neighbours. */
static int compute_rows(const score_block *b, float clip, const float *todo, size_t n, float *p)
{
    enum { BATCH = 128 };
    int rc = 0;
    size_t d = b->d, c = b->c;
    float *h, *z;
    size_t row[BATCH];
    TRY(block_work(b, 1, BATCH * d, &h));
    TRY(block_work(b, 2, BATCH * c, &z));
    memset(h, 0, BATCH * d * sizeof *h);
    for (size_t i = 0; i < n;) {
        size_t m = 0;
        for (; i < n && m < BATCH; i++)
            if (todo[i] != 0) row[m++] = i;
        for (size_t k = 0; k < m; k++)
            for (size_t j = 0; j < d; j++) {
                float v = b->h[row[k] * d + j];
                h[k * d + j] = v > clip ? clip : v;
            }
        TRY(logits_compute(b->cache->f, h, BATCH, z));
        for (size_t k = 0; k < m; k++)
            memcpy(p + row[k] * c, z + k * c, c * sizeof *p);
    }
done:
    return rc;
}

int block_clipped(const score_block *b, float clip, const clipped_block **out)
{
    int rc = 0, stored = logits_stored(b->cache->f->o, b->set);
    block_cache *k = b->cache;
    const rowmath *m = rowmath_best();
    clipped_block *at;
    float *todo;
    size_t left = 0;
    for (int i = 0; i < k->clipped; i++)
        if (k->clip[i].clip == clip) {
            *out = &k->clip[i];
            return 0;
        }
    TRY(fit_head_transposed(k->f));
    TRY(block_work(b, 0, k->rows, &todo));
    at = &k->clip[k->next_clip++ % CLIPPED_MAX];
    if (k->clipped < CLIPPED_MAX) k->clipped++;
    at->clip = NAN; /* equals nothing until it is filled */
    if (at->p == NULL)
        TRY(budget_new(k->f->mem, &at->p, k->rows * b->c, sizeof *at->p, "clipped logits"));
    if (at->sums == NULL)
        TRY(budget_new(k->f->mem, &at->sums, k->rows, sizeof *at->sums, "clipped logits"));
#pragma omp parallel for reduction(+ : left)
    for (size_t i = 0; i < b->n; i++) {
        todo[i] = stored || !correct_row(m, b, i, clip, at->p + i * b->c) ? 1 : 0;
        left += todo[i] != 0;
    }
    if (left > 0) TRY(compute_rows(b, clip, todo, b->n, at->p));
    TRY(logits_softmax(m, b->set, b->row, at->p, b->n, b->c, at->p, at->sums));
    at->clip = clip;
    *out = at;
done:
    return rc;
}
