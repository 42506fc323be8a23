/* First and second moments of the train features, in all and by class, from one pass.
 *   shift [d]       mean of the first block; values are taken relative to it, so that nothing cancels
 *   sum [d]         sum of (x - shift)
 *   second [d,d]    sum of (x - shift)(x - shift)', lower triangle
 *   class_sum [k,d] sum of (x - shift) over the rows of a class; classes in ascending label order
 * f64 sums over blocks of fixed size in row order.  Every second moment that a method wants follows
 * by corrections of low rank:
 *   about u            second + sum e' + e sum' + n e e',  e = shift - u
 *   within the classes second - sum_k class_sum_k class_sum_k' / n_k */
#ifndef OUTPOST_SCATTER_H
#define OUTPOST_SCATTER_H

#include "score/stats/budget.h"

#include <stdint.h>

typedef struct class_index { /* which class a row belongs to */
    size_t k;                /* classes that have rows */
    int64_t *label;          /* [k] ascending */
    size_t *count;           /* [k] */
    int32_t *of_row;         /* [n] index of the class, -1: label unknown (negative) */
    size_t labelled;         /* rows with a class */
} class_index;

/* Counts the labels of n rows; negative ones mean unknown. */
int class_index_new(class_index *ci, const int64_t *labels, size_t n, budget *mem);
void class_index_clear(class_index *ci, budget *mem);

typedef struct scatter {
    size_t n, d, k;
    double *shift, *sum, *second, *class_sum;
    double *block; /* [TRAIN_ROWS,d] scratch */
    int second_elsewhere; /* a device sums `second`: scatter_add leaves it alone */
    budget *mem;
} scatter;

/* k: classes to sum by, 0 for none; with_second: whether second moments are wanted. */
int scatter_init(scatter *s, size_t d, size_t k, int with_second, budget *mem);
void scatter_clear(scatter *s);
/* Adds a block of at most TRAIN_ROWS rows; class_of [n] or NULL. */
void scatter_add(scatter *s, const float *x, size_t n, const int32_t *class_of);
/* Adds what another pass summed over other rows: same d, same classes in the same order, of which
 * that pass saw other_count[k] rows (NULL without classes). */
void scatter_merge(scatter *s, const scatter *other, const size_t *other_count);
/* mean[d] */
void scatter_mean(const scatter *s, double *mean);
/* out[d,d], lower: second moment about u, divided by n.  out may be s->second. */
void scatter_about(const scatter *s, const double *u, double *out);
/* out[d,d], lower: within-class covariance, divided by the number of rows `n`, count[k] rows each.
 * Every row must have had a class. */
void scatter_within(const scatter *s, const size_t *count, double *out);

#endif
