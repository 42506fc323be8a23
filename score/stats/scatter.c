#include "score/stats/scatter.h"
#include "common/err.h"
#include "score/linalg.h"
#include "score/stats/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Columns that one thread sums; a cache line's multiple. */
enum { COLUMNS = 64 };

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int class_index_new(class_index *ci, const int64_t *labels, size_t n, budget *mem)
{
    int rc = 0;
    int64_t *sorted = NULL;
    memset(ci, 0, sizeof *ci);
    TRY(budget_new(mem, &sorted, n, sizeof *sorted, "labels"));
    TRY(budget_new(mem, &ci->of_row, n, sizeof *ci->of_row, "class of each row"));
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= 0) sorted[ci->labelled++] = labels[i];
    qsort(sorted, ci->labelled, sizeof *sorted, by_value);
    for (size_t i = 0; i < ci->labelled; i++)
        if (i == 0 || sorted[i] != sorted[i - 1]) sorted[ci->k++] = sorted[i];
    CHECK(ci->k < INT32_MAX, ERR_INPUT, "train labels: %zu classes are too many", ci->k);
    TRY(budget_new(mem, &ci->label, ci->k, sizeof *ci->label, "class labels"));
    TRY(budget_zeroed(mem, &ci->count, ci->k, sizeof *ci->count, "class sizes"));
    memcpy(ci->label, sorted, ci->k * sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        const int64_t *at =
            labels[i] < 0 ? NULL : bsearch(&labels[i], ci->label, ci->k, sizeof *at, by_value);
        ci->of_row[i] = at == NULL ? -1 : (int32_t)(at - ci->label);
        if (at != NULL) ci->count[at - ci->label]++;
    }
done:
    budget_free(mem, &sorted);
    if (rc < 0) class_index_clear(ci, mem);
    return rc;
}

void class_index_clear(class_index *ci, budget *mem)
{
    budget_free(mem, &ci->label);
    budget_free(mem, &ci->count);
    budget_free(mem, &ci->of_row);
}

int scatter_init(scatter *s, size_t d, size_t k, int with_second, budget *mem)
{
    int rc = 0;
    memset(s, 0, sizeof *s);
    s->d = d;
    s->k = k;
    s->mem = mem;
    TRY(budget_zeroed(mem, &s->shift, d, sizeof *s->shift, "train mean"));
    TRY(budget_zeroed(mem, &s->sum, d, sizeof *s->sum, "train sums"));
    TRY(budget_new(mem, &s->block, TRAIN_ROWS * d, sizeof *s->block, "block of train rows"));
    if (with_second) TRY(budget_zeroed(mem, &s->second, d * d, sizeof *s->second, "second moment"));
    if (k > 0) TRY(budget_zeroed(mem, &s->class_sum, k * d, sizeof *s->class_sum, "class sums"));
done:
    if (rc < 0) scatter_clear(s);
    return rc;
}

void scatter_clear(scatter *s)
{
    if (s->mem == NULL) return;
    budget_free(s->mem, &s->shift);
    budget_free(s->mem, &s->sum);
    budget_free(s->mem, &s->second);
    budget_free(s->mem, &s->class_sum);
    budget_free(s->mem, &s->block);
}

static void first_mean(scatter *s, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < s->d; j++)
            s->shift[j] += (double)x[i * s->d + j];
    for (size_t j = 0; j < s->d; j++)
        s->shift[j] /= (double)n;
}

void scatter_add(scatter *s, const float *x, size_t n, const int32_t *class_of)
{
    size_t d = s->d;
    if (n == 0) return;
    if (s->n == 0) first_mean(s, x, n);
#pragma omp parallel for
    for (size_t begin = 0; begin < d; begin += COLUMNS) {
        size_t end = begin + COLUMNS < d ? begin + COLUMNS : d;
        for (size_t i = 0; i < n; i++) {
            double *row = s->block + i * d;
            double *of_class = s->class_sum != NULL && class_of != NULL && class_of[i] >= 0
                                   ? s->class_sum + (size_t)class_of[i] * d
                                   : NULL;
            for (size_t j = begin; j < end; j++) {
                row[j] = (double)x[i * d + j] - s->shift[j];
                s->sum[j] += row[j];
            }
            if (of_class == NULL) continue;
            for (size_t j = begin; j < end; j++)
                of_class[j] += row[j];
        }
    }
    if (s->second != NULL && !s->second_elsewhere) linalg_syrk(n, d, 1, s->block, s->second);
    s->n += n;
}

/* into[d,d] = from + (a e' + e a' + n e e'), scaled, lower triangle. */
static void move_second(size_t d, const double *from, const double *a, const double *e, double n,
                        double scale, int add, double *into)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double v = (from[i * d + j] + (a[i] * e[j] + e[i] * a[j] + n * e[i] * e[j])) * scale;
            into[i * d + j] = add ? into[i * d + j] + v : v;
        }
}

void scatter_merge(scatter *s, const scatter *other, const size_t *other_count)
{
    size_t d = s->d;
    double *e = s->block, n = (double)other->n;
    if (other->n == 0) return;
    if (s->n == 0) memcpy(s->shift, other->shift, d * sizeof *s->shift);
    for (size_t j = 0; j < d; j++)
        e[j] = other->shift[j] - s->shift[j];
    if (s->second != NULL && other->second != NULL)
        move_second(d, other->second, other->sum, e, n, 1, 1, s->second);
    for (size_t j = 0; j < d; j++)
        s->sum[j] += other->sum[j] + n * e[j];
    for (size_t k = 0; k < s->k && other_count != NULL; k++)
        for (size_t j = 0; j < d; j++)
            s->class_sum[k * d + j] += other->class_sum[k * d + j] + (double)other_count[k] * e[j];
    s->n += other->n;
}

void scatter_mean(const scatter *s, double *mean)
{
    for (size_t j = 0; j < s->d; j++)
        mean[j] = s->shift[j] + s->sum[j] / (double)s->n;
}

void scatter_about(const scatter *s, const double *u, double *out)
{
    size_t d = s->d;
    double *e = s->block, n = (double)s->n;
    for (size_t j = 0; j < d; j++)
        e[j] = s->shift[j] - u[j];
    move_second(d, s->second, s->sum, e, n, 1 / n, 0, out);
}

void scatter_within(const scatter *s, const size_t *count, double *out)
{
    size_t d = s->d;
    for (size_t i = 0; i < d; i++)
        memcpy(out + i * d, s->second + i * d, (i + 1) * sizeof *out);
    for (size_t begin = 0; begin < s->k; begin += TRAIN_ROWS) {
        size_t n = s->k - begin < TRAIN_ROWS ? s->k - begin : TRAIN_ROWS;
        for (size_t i = 0; i < n; i++) {
            double scale = 1 / sqrt((double)count[begin + i]);
            for (size_t j = 0; j < d; j++)
                s->block[i * d + j] = s->class_sum[(begin + i) * d + j] * scale;
        }
        linalg_syrk(n, d, -1, s->block, out);
    }
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++)
            out[i * d + j] /= (double)s->n;
}
