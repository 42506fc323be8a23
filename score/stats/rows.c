#include "score/stats/rows.h"
#include "common/err.h"

#include <stdint.h>
#include <string.h>

int rows_each(const source *s, budget *mem, rows_fn fn, void *arg)
{
    int rc = 0;
    float *buffer = NULL;
    TRY(budget_new(mem, &buffer, TRAIN_ROWS * s->d, sizeof *buffer, "block of features"));
    for (size_t begin = 0; begin < s->n; begin += TRAIN_ROWS) {
        size_t n = s->n - begin < TRAIN_ROWS ? s->n - begin : TRAIN_ROWS;
        const float *v = NULL;
        TRY(source_features(s, begin, n, buffer, &v));
        TRY(fn(arg, begin, n, s->d, v));
        source_forget(s, begin, n);
    }
done:
    budget_free(mem, &buffer);
    return rc;
}

/* Exponent all ones: NaN or infinite. */
static int row_is_finite(const float *v, size_t d)
{
    uint32_t bad = 0;
#pragma omp simd reduction(| : bad)
    for (size_t i = 0; i < d; i++) {
        uint32_t u;
        memcpy(&u, v + i, sizeof u);
        bad |= (u & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

int rows_check_finite(const source *s, size_t begin, size_t n, size_t d, const float *v,
                      const char *what)
{
    size_t first = n;
#pragma omp parallel for reduction(min : first)
    for (size_t i = 0; i < n; i++)
        if (!row_is_finite(v + i * d, d) && i < first) first = i;
    if (first == n) return 0;
    return err_set(ERR_INPUT, "%s: set '%s', row %zu: %s are not finite (NaN or infinity)",
                   s->path != NULL ? s->path : "?", s->name, begin + first, what);
}

int rows_check_shape(const source *s, size_t d, size_t c, const char *like)
{
    const char *path = s->path != NULL ? s->path : "?";
    if (s->n == 0) return err_set(ERR_INPUT, "%s: set '%s' has no usable rows", path, s->name);
    if (d > 0 && s->d > 0 && s->d != d)
        return err_set(ERR_INPUT, "%s: set '%s' has features of width %zu, %s has %zu", path,
                       s->name, s->d, like, d);
    if (c > 0 && s->c > 0 && s->c != c)
        return err_set(ERR_INPUT, "%s: set '%s' has %zu logits, %s has %zu", path, s->name, s->c,
                       like, c);
    return 0;
}
