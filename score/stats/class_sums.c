#include "score/stats/class_sums.h"
#include "common/err.h"

#include <string.h>

/* Columns that one thread sums; a cache line's multiple. */
enum { COLUMNS = 64 };

int class_sums_new(class_sums *s, size_t c, size_t width, budget *mem)
{
    int rc = 0;
    memset(s, 0, sizeof *s);
    s->c = c;
    s->width = width;
    TRY(budget_zeroed(mem, &s->sum, c * width, sizeof *s->sum, "sums by class"));
    TRY(budget_zeroed(mem, &s->count, c, sizeof *s->count, "sums by class"));
done:
    if (rc < 0) class_sums_clear(s, mem);
    return rc;
}

void class_sums_clear(class_sums *s, budget *mem)
{
    budget_free(mem, &s->sum);
    budget_free(mem, &s->count);
}

void class_sums_add(class_sums *s, const float *x, const int32_t *of, size_t n)
{
    size_t width = s->width;
#pragma omp parallel for
    for (size_t begin = 0; begin < width; begin += COLUMNS) {
        size_t end = begin + COLUMNS < width ? begin + COLUMNS : width;
        for (size_t i = 0; i < n; i++) {
            if (of[i] < 0) continue;
            double *sum = s->sum + (size_t)of[i] * width;
            for (size_t j = begin; j < end; j++)
                sum[j] += (double)x[i * width + j];
        }
    }
    for (size_t i = 0; i < n; i++)
        if (of[i] >= 0) s->count[of[i]]++;
}

void class_sums_merge(class_sums *s, const class_sums *other)
{
    for (size_t i = 0; i < s->c * s->width; i++)
        s->sum[i] += other->sum[i];
    for (size_t k = 0; k < s->c; k++)
        s->count[k] += other->count[k];
}

size_t class_sums_mean(const class_sums *s, double *mean)
{
    size_t absent = 0;
    for (size_t k = 0; k < s->c; k++) {
        double n = s->count[k] > 0 ? (double)s->count[k] : 1;
        absent += s->count[k] == 0;
        for (size_t j = 0; j < s->width; j++)
            mean[k * s->width + j] = s->sum[k * s->width + j] / n;
    }
    return absent;
}
