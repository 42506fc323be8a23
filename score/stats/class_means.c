/* What class means follow from: the sums of the shared pass. */
#include "score/stats/fit.h"

void fit_mean(const fit_context *f, double *mean)
{
    scatter_mean(&f->moments, mean);
}

const class_sums *fit_class_sums(const fit_context *f, class_kind kind)
{
    return kind == CLASS_TRUE ? &f->labelled : kind == CLASS_CORRECT ? &f->correct : &f->predicted;
}

int fit_class_means(fit_context *f, class_kind kind, double *mean, size_t *absent)
{
    *absent = class_sums_mean(fit_class_sums(f, kind), mean);
    if (*absent < f->c) return 0;
    return fit_refuse(f, kind == CLASS_TRUE ? "no train row has a label of the head's classes"
                                            : "no train row is predicted as labelled");
}
