/* Rows of length 1, h / |h|_2 in f64, rounded to f32; a row of zeros stays one.  Their second moments. */
#ifndef OUTPOST_UNIT_H
#define OUTPOST_UNIT_H

#include "score/stats/fit.h"

/* to [n,d], may be h */
void rows_unit(const float *h, size_t n, size_t d, float *to);

/* For fit.c: f->unit is opened, takes blocks of at most TRAIN_ROWS raw rows, and is released. */
int unit_open(fit_context *f);
int unit_add(fit_context *f, const float *h, size_t begin, size_t n);
void unit_close(fit_context *f);

#endif
