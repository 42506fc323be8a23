#include "score/stats/unit.h"
#include "common/err.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"

#include <math.h>
#include <string.h>

void rows_unit(const float *h, size_t n, size_t d, float *to)
{
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        double length = sqrt(rows_square(h + i * d, d));
        for (size_t j = 0; j < d; j++)
            to[i * d + j] = length > 0 ? (float)((double)h[i * d + j] / length) : 0;
    }
}

int unit_open(fit_context *f)
{
    int rc = 0;
    TRY(budget_new(f->mem, &f->unit_rows, TRAIN_ROWS * f->d, sizeof *f->unit_rows, "normalised rows"));
    TRY(scatter_init(&f->unit, f->d, f->classes.k, 1, f->mem));
done:
    return rc;
}

int unit_add(fit_context *f, const float *h, size_t begin, size_t n)
{
    int rc = 0;
    const int32_t *of = f->classes.of_row != NULL ? f->classes.of_row + begin : NULL;
    rows_unit(h, n, f->d, f->unit_rows);
    scatter_add(&f->unit, f->unit_rows, n, of);
    if (!f->unit.second_elsewhere) goto done;
    if (begin == 0) TRY(f->la->ops->moments_begin(f->la, f->d, f->unit.shift, 1, f->unit.second));
    TRY(f->la->ops->moments_add(f->la, f->unit_rows, NULL, n));
done:
    return rc;
}

static int add_block(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    (void)d;
    return unit_add(arg, h, begin, n);
}

int fit_unit(fit_context *f)
{
    int rc = 0;
    if (f->unit.n > 0) goto done;
    TRY(unit_open(f));
    f->unit.second_elsewhere = f->la->ops->device;
    TRY(rows_each(f->o->train, f->mem, add_block, f));
    if (f->unit.second_elsewhere) TRY(f->la->ops->moments_end(f->la));
done:
    return rc;
}

void unit_close(fit_context *f)
{
    scatter_clear(&f->unit);
    budget_free(f->mem, &f->unit_rows);
}
