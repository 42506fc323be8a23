/* What class means follow from: the sums of the shared pass. */
#include "score/stats/fit.h"

#include <string.h>

void fit_mean(const fit_context *f, double *mean)
{
    scatter_mean(&f->moments, mean);
}

static int true_means(fit_context *f, double *mean, size_t *absent)
{
    const scatter *m = &f->moments;
    const class_index *k = &f->classes;
    size_t d = f->d;
    if (k->labelled == 0) return fit_refuse(f, "no train row has a label (all are negative)");
    if (k->label[k->k - 1] >= (int64_t)f->c)
        return fit_refuse(f, "train label %lld is not a class of the head (%zu)",
                          (long long)k->label[k->k - 1], f->c);
    memset(mean, 0, f->c * d * sizeof *mean);
    for (size_t i = 0; i < k->k; i++) {
        double *to = mean + (size_t)k->label[i] * d;
        for (size_t j = 0; j < d; j++)
            to[j] = m->shift[j] + m->class_sum[i * d + j] / (double)k->count[i];
    }
    *absent = f->c - k->k;
    return 0;
}

int fit_class_means(fit_context *f, class_kind kind, double *mean, size_t *absent)
{
    if (kind == CLASS_TRUE) return true_means(f, mean, absent);
    *absent = class_sums_mean(kind == CLASS_CORRECT ? &f->correct : &f->predicted, mean);
    return 0;
}
