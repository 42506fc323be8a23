/* Sums of rows by class, f64, in row order: what class means follow from.  Mergeable by adding. */
#ifndef OUTPOST_CLASS_SUMS_H
#define OUTPOST_CLASS_SUMS_H

#include "score/stats/budget.h"

#include <stdint.h>

typedef struct class_sums {
    size_t c, width;
    double *sum;   /* [c,width] */
    size_t *count; /* [c] */
} class_sums;

int class_sums_new(class_sums *s, size_t c, size_t width, budget *mem);
void class_sums_clear(class_sums *s, budget *mem);
/* Adds rows x [n,width]; of [n] the class, negative: the row is left out. */
void class_sums_add(class_sums *s, const float *x, const int32_t *of, size_t n);
void class_sums_merge(class_sums *s, const class_sums *other);
/* mean [c,width]; a class without rows has the zero vector.  Returns how many those are. */
size_t class_sums_mean(const class_sums *s, double *mean);

#endif
