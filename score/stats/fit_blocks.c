/* Rows of a held-out or train set for methods that fit on what a test block has. */
#include "common/err.h"
#include "score/stats/fit.h"
#include "score/stats/logits.h"
#include "score/stats/rows.h"

typedef struct room {
    float *h, *z, *p, *lse, *zmax;
    double *plogp;
    row_sums *sums;
} room;

static int open_room(room *r, fit_context *f, const source *set)
{
    int rc = 0;
    size_t n = TRAIN_ROWS;
    budget *m = f->mem;
    if (set->d > 0) TRY(budget_new(m, &r->h, n * set->d, sizeof *r->h, "block of features"));
    if (!logits_available(f->o, set)) goto done;
    TRY(budget_new(m, &r->z, n * f->c, sizeof *r->z, "block of logits"));
    TRY(budget_new(m, &r->p, n * f->c, sizeof *r->p, "block of probabilities"));
    TRY(budget_new(m, &r->lse, n, sizeof *r->lse, "block"));
    TRY(budget_new(m, &r->zmax, n, sizeof *r->zmax, "block"));
    TRY(budget_new(m, &r->plogp, n, sizeof *r->plogp, "block"));
    TRY(budget_new(m, &r->sums, n, sizeof *r->sums, "block"));
done:
    return rc;
}

static void close_room(room *r, budget *m)
{
    budget_free(m, &r->h);
    budget_free(m, &r->z);
    budget_free(m, &r->p);
    budget_free(m, &r->lse);
    budget_free(m, &r->zmax);
    budget_free(m, &r->plogp);
    budget_free(m, &r->sums);
}

static int load(room *r, fit_context *f, const source *s, size_t begin, size_t n, score_block *b)
{
    int rc = 0;
    *b = (score_block){ .set = s, .row = begin, .n = n, .d = s->d, .c = f->c };
    if (s->d > 0) {
        TRY(source_features(s, begin, n, r->h, &b->h));
        TRY(rows_check_finite(s, begin, n, s->d, b->h, "features"));
    }
    if (r->z == NULL) goto done;
    TRY(logits_of_rows(f, s, begin, n, b->h, r->z, &b->z));
    TRY(logits_softmax(rowmath_best(), s, begin, b->z, n, b->c, r->p, r->sums));
    for (size_t i = 0; i < n; i++) {
        r->lse[i] = (float)r->sums[i].lse;
        r->zmax[i] = r->sums[i].max;
        r->plogp[i] = r->sums[i].plogp;
    }
    b->p = r->p;
    b->lse = r->lse;
    b->zmax = r->zmax;
    b->plogp = r->plogp;
done:
    return rc;
}

int fit_each_block(fit_context *f, const source *set, fit_block_fn fn, void *arg)
{
    int rc = 0;
    room r = { 0 };
    TRY(open_room(&r, f, set));
    for (size_t begin = 0; begin < set->n; begin += TRAIN_ROWS) {
        size_t n = set->n - begin < TRAIN_ROWS ? set->n - begin : TRAIN_ROWS;
        score_block b;
        TRY(load(&r, f, set, begin, n, &b));
        TRY(fn(arg, &b));
        source_forget(set, begin, n);
    }
done:
    close_room(&r, f->mem);
    return rc;
}
