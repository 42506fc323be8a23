/* Class means and the whitening of the within-class covariance (Mahalanobis).
 *   a [r,d]     (x - centre) -> y = a (x - centre); unit * ||y||^2 = (x - centre)' P (x - centre),
 *               P = pinvh(Sigma), Sigma = 1/N sum (x - m_y)(x - m_y)'
 *   unit        a power of 4 that brings the largest |a| into [0.5, 1): features of any size fit f32
 *   mean [k,r]  whitened class means, norm [k] their squares
 * P drops eigenvalues up to d * 2.2e-16 of the largest, as scipy's pinvh does.
 * Well-conditioned Sigma (no eigenvalue near that cut): from the sums of the shared pass, by the inverse
 * Cholesky factor.  Otherwise from a second pass with the class means subtracted, by eigenvectors.
 * The means are subtracted in f64; the published f32 subtraction leaves eigenvalues around the cut
 * where there should be zeros (fewer rows than features), and chance decides about them. */
#ifndef OUTPOST_WITHIN_H
#define OUTPOST_WITHIN_H

#include "score/stats/fit.h"

typedef struct whitening { /* struct: fit.h names it */
    size_t d, r, k;
    size_t rank;    /* of Sigma: r, less the features that never vary */
    int triangular; /* a is lower triangular, r == d */
    double rcond;   /* smallest over largest kept eigenvalue; estimated, and of Sigma scaled to unit
                           diagonal, when triangular */
    float *centre;  /* [d] */
    float *a;       /* [r,d], or NULL and */
    double *exact;  /* [r,d] when rcond is below WHITEN_F32, so that f32 products would be noise in
                           the narrowest directions */
    float *mean;    /* [k,r] */
    double *norm;   /* [k] */
    double unit;
    const char *what; /* "within-class" or "total" */
    linalg *la; /* where these are kept */
    linalg_matrix *kept_a, *kept_centre, *kept_mean, *kept_norm;
} whitening;

#define WHITEN_F32 1e-7

/* Which Gaussian: of classes with one covariance, or of all rows together (then one class); of rows as they
 * are, or of length 1 (unit.h). */
enum { GAUSSIAN_UNIT = 1, GAUSSIAN_POOLED = 2 };
/* FIT_REFUSED when no row has a label or Sigma is zero. */
int within_fit(fit_context *f, int which, whitening *w);
void within_clear(whitening *w, budget *mem);

#endif
