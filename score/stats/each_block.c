/* The blocks of any set as `score` sees those of a test set. */
#include "common/err.h"
#include "score/stats/logits.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

typedef struct buffers {
    float *h, *z, *p, *lse, *zmax;
    double *plogp;
    row_sums *sums;
} buffers;

static int buffers_new(buffers *v, size_t d, size_t c, budget *mem)
{
    int rc = 0;
    TRY(budget_new(mem, &v->h, TRAIN_ROWS * d, sizeof *v->h, "block of features"));
    TRY(budget_new(mem, &v->z, TRAIN_ROWS * c, sizeof *v->z, "block of logits"));
    TRY(budget_new(mem, &v->p, TRAIN_ROWS * c, sizeof *v->p, "block of probabilities"));
    TRY(budget_new(mem, &v->lse, TRAIN_ROWS, sizeof *v->lse, "block"));
    TRY(budget_new(mem, &v->zmax, TRAIN_ROWS, sizeof *v->zmax, "block"));
    TRY(budget_new(mem, &v->plogp, TRAIN_ROWS, sizeof *v->plogp, "block"));
    TRY(budget_new(mem, &v->sums, TRAIN_ROWS, sizeof *v->sums, "block"));
done:
    return rc;
}

static void buffers_clear(buffers *v, budget *mem)
{
    budget_free(mem, &v->h);
    budget_free(mem, &v->z);
    budget_free(mem, &v->p);
    budget_free(mem, &v->lse);
    budget_free(mem, &v->zmax);
    budget_free(mem, &v->plogp);
    budget_free(mem, &v->sums);
}

static int load(fit_context *f, const source *s, size_t begin, size_t n, buffers *v, score_block *b)
{
    int rc = 0;
    if (s->d > 0) {
        TRY(source_features(s, begin, n, v->h, &b->h));
        TRY(rows_check_finite(s, begin, n, s->d, b->h, "features"));
    }
    if (!logits_available(f->o, s)) goto done;
    TRY(logits_of_rows(f, s, begin, n, b->h, v->z, &b->z));
    TRY(logits_softmax(rowmath_best(), s, begin, b->z, n, b->c, v->p, v->sums));
    for (size_t i = 0; i < n; i++) {
        v->lse[i] = (float)v->sums[i].lse;
        v->zmax[i] = v->sums[i].max;
        v->plogp[i] = v->sums[i].plogp;
    }
    b->p = v->p;
    b->lse = v->lse;
    b->zmax = v->zmax;
    b->plogp = v->plogp;
    b->sums = v->sums;
done:
    return rc;
}

int fit_each_block(fit_context *f, const source *set, fit_block_fn fn, void *arg)
{
    int rc = 0;
    buffers v = {0};
    block_cache cache;
    block_cache_open(&cache, f, TRAIN_ROWS);
    TRY(buffers_new(&v, set->d, f->c, f->mem));
    for (size_t begin = 0; begin < set->n; begin += TRAIN_ROWS) {
        size_t n = set->n - begin < TRAIN_ROWS ? set->n - begin : TRAIN_ROWS;
        score_block b = {.set = set, .row = begin, .n = n, .d = set->d, .c = f->c, .cache = &cache};
        block_cache_next(&cache);
        TRY(load(f, set, begin, n, &v, &b));
        TRY(fn(arg, &b));
        source_forget(set, begin, n);
    }
done:
    buffers_clear(&v, f->mem);
    block_cache_close(&cache);
    return rc;
}
