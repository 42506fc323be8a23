#include "score/stats/nearest.h"

#include "common/err.h"
#include "common/mem.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct nearest_bank {
    linalg_bank *bank;
    size_t rank[NEAREST_RANKS], ranks; /* ascending */
};

static void normalise(const float *h, size_t n, size_t d, float *to)
{
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        double sum = 0, norm;
        for (size_t j = 0; j < d; j++)
            sum += (double)h[i * d + j] * (double)h[i * d + j];
        norm = sum > 0 ? sqrt(sum) : 1;
        for (size_t j = 0; j < d; j++)
            to[i * d + j] = (float)((double)h[i * d + j] / norm + 1e-10);
    }
}

/* ---- fit --------------------------------------------------------------------------------------- */

typedef struct filling {
    fit_context *f;
    nearest_bank *to;
    float *scratch; /* [TRAIN_ROWS,d], NULL: rows as they are */
} filling;

static int add_rows(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    int rc = 0;
    filling *a = arg;
    linalg *la = a->f->la;
    TRY(rows_check_finite(a->f->o->train, begin, n, d, h, "features"));
    if (a->scratch != NULL) normalise(h, n, d, a->scratch);
    TRY(la->ops->bank_add(la, a->to->bank, a->scratch != NULL ? a->scratch : h, n));
done:
    return rc;
}

static int fill(fit_context *f, int normalised, nearest_bank *to)
{
    int rc = 0;
    const source *train = f->o->train;
    filling a = {f, to, NULL};
    TRY(f->la->ops->bank_new(f->la, &to->bank, train->n, train->d));
    if (normalised)
        TRY(budget_new(f->mem, &a.scratch, TRAIN_ROWS * train->d, sizeof *a.scratch, "normalised rows"));
    TRY(rows_each(train, f->mem, add_rows, &a));
done:
    budget_free(f->mem, &a.scratch);
    return rc;
}

int fit_nearest(fit_context *f, int normalised, size_t rank)
{
    int rc = 0;
    nearest_bank **at = &f->nearest[normalised != 0], *b;
    size_t i = 0;
    if (*at == NULL) TRY(mem_new(at, 1, sizeof **at, "train rows to search"));
    b = *at;
    if (b->bank == NULL) TRY(fill(f, normalised, b));
    while (i < b->ranks && b->rank[i] < rank)
        i++;
    if (i < b->ranks && b->rank[i] == rank) goto done;
    CHECK(b->ranks < NEAREST_RANKS, ERR_USAGE, "more than %d different k in one run", NEAREST_RANKS);
    memmove(b->rank + i + 1, b->rank + i, (b->ranks - i) * sizeof *b->rank);
    b->rank[i] = rank;
    b->ranks++;
done:
    return rc;
}

void nearest_close(fit_context *f)
{
    for (int i = 0; i < 2; i++) {
        if (f->nearest[i] == NULL) continue;
        f->la->ops->bank_drop(f->la, &f->nearest[i]->bank);
        free(f->nearest[i]);
        f->nearest[i] = NULL;
    }
}

/* ---- a block ----------------------------------------------------------------------------------- */

void nearest_next(block_cache *k)
{
    k->nearest_filled[0] = k->nearest_filled[1] = 0;
}

void nearest_release(block_cache *k)
{
    budget_free(k->f->mem, &k->nearest[0]);
    budget_free(k->f->mem, &k->nearest[1]);
}

static int search(const score_block *b, int normalised, const nearest_bank *bank)
{
    int rc = 0;
    block_cache *k = b->cache;
    linalg *la = k->f->la;
    const float *h = b->h;
    float *scratch;
    if (k->nearest[normalised] == NULL)
        TRY(budget_new(k->f->mem, &k->nearest[normalised], k->rows * bank->ranks, sizeof *k->nearest[normalised],
                       "distances of a block"));
    if (normalised) {
        TRY(block_work(b, 1, k->rows * b->d, &scratch));
        normalise(b->h, b->n, b->d, scratch);
        h = scratch;
    }
    TRY(la->ops->neighbours(la, bank->bank, bank->rank, bank->ranks, h, b->n, k->nearest[normalised], NULL));
    k->nearest_filled[normalised] = 1;
done:
    return rc;
}

int block_nearest(const score_block *b, int normalised, size_t rank, const double **of, size_t *step)
{
    int rc = 0, which = normalised != 0;
    block_cache *k = b->cache;
    const nearest_bank *bank = k->f->nearest[which];
    size_t i = 0;
    CHECK(bank != NULL, ERR_INTERNAL, "no rows to search");
    while (i < bank->ranks && bank->rank[i] != rank)
        i++;
    CHECK(i < bank->ranks, ERR_INTERNAL, "rank %zu was not announced", rank);
    if (!k->nearest_filled[which]) TRY(search(b, which, bank));
    *of = k->nearest[which] + i;
    *step = bank->ranks;
done:
    return rc;
}
