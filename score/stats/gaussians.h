/* One Gaussian for each class of a layer's vectors, with one covariance (multi-layer Mahalanobis, MDSEns).
 *   m_k class means by true label, Sigma = 1/N sum (x - m_y)(x - m_y)', P = pinvh(Sigma), all f64
 *   score of x: max_k -1/2 (x - m_k)' P (x - m_k) */
#ifndef OUTPOST_GAUSSIANS_H
#define OUTPOST_GAUSSIANS_H

#include "score/stats/tables.h"

typedef struct gaussians {
    char table[TABLE_NAME]; /* that it was fitted on */
    size_t d, k, r, rows;   /* classes that have rows; directions of P */
    double *class_mean;     /* [k,d] */
    double *root;           /* [r,d] P = root' root */
    double unit;            /* what `nearest` gives is divided by */
    float *centre, *mean;   /* [d], [k,r] */
    double *norm;           /* [k] */
    linalg *la;
    linalg_matrix *kept_root, *kept_centre, *kept_mean, *kept_norm;
    budget *mem;
} gaussians;

/* From the rows of s whose label is in 0..classes-1.  *none: there are no such rows, or they do not vary. */
int gaussians_fit(gaussians *g, const source *s, const char *table, size_t classes, budget *mem, int *none);
/* P [d,d] */
void gaussians_precision(const gaussians *g, double *precision);
/* Before scores: hands the arrays to where rows are scored. */
int gaussians_keep(gaussians *g, linalg *la);
/* score [n] of rows [n,d]; -infinity where f32 holds no distance */
int gaussians_score(const gaussians *g, const float *rows, size_t n, double *score);
void gaussians_clear(gaussians *g);

#endif
