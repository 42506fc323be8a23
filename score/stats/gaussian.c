#include "score/stats/gaussian.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/unit.h"

#include <stdlib.h>

int fit_gaussian(fit_context *f, int which, const whitening **out)
{
    int rc = 0;
    whitening *w = f->gaussian[which];
    if (w == NULL) {
        TRY(mem_new(&w, 1, sizeof *w, "Gaussian"));
        rc = within_fit(f, which, w);
        if (rc == 0) {
            f->gaussian[which] = w;
        } else {
            within_clear(w, f->mem);
            free(w);
            goto done;
        }
    }
    if (out != NULL) *out = w;
done:
    return rc;
}

void gaussian_close(fit_context *f)
{
    for (int i = 0; i < GAUSSIANS; i++) {
        if (f->gaussian[i] == NULL) continue;
        within_clear(f->gaussian[i], f->mem);
        free(f->gaussian[i]);
        f->gaussian[i] = NULL;
    }
}

void gaussian_next(block_cache *k)
{
    for (int i = 0; i < GAUSSIANS; i++)
        k->gaussian_filled[i] = 0;
}

void gaussian_release(block_cache *k)
{
    for (int i = 0; i < GAUSSIANS; i++)
        budget_free(k->f->mem, &k->gaussian[i]);
}

static int measure(const score_block *b, int which)
{
    int rc = 0;
    block_cache *k = b->cache;
    const whitening *w = k->f->gaussian[which];
    const float *h = b->h;
    float *unit;
    if (k->gaussian[which] == NULL)
        TRY(budget_new(k->f->mem, &k->gaussian[which], k->rows, sizeof **k->gaussian, "distances of a block"));
    if (which & GAUSSIAN_UNIT) {
        TRY(block_work(b, 0, k->rows * b->d, &unit));
        rows_unit(b->h, b->n, b->d, unit);
        h = unit;
    }
    TRY(w->la->ops->nearest(w->la, w->kept_a, w->kept_centre, w->kept_mean, w->kept_norm, h, b->n,
                            k->gaussian[which]));
    for (size_t i = 0; i < b->n; i++)
        k->gaussian[which][i] *= w->unit;
    k->gaussian_filled[which] = 1;
done:
    return rc;
}

int block_gaussian(const score_block *b, int which, const double **distance)
{
    int rc = 0;
    CHECK(b->cache->f->gaussian[which] != NULL, ERR_INTERNAL, "no Gaussian to measure from");
    if (!b->cache->gaussian_filled[which]) TRY(measure(b, which));
    *distance = b->cache->gaussian[which];
done:
    return rc;
}
