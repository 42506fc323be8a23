/* Dense linear algebra of score: the only caller of BLAS and LAPACK.
 * Matrices are row-major with explicit leading dimensions; symmetric ones are full n x n arrays of
 * which the lower triangle (row >= column) counts, unless said otherwise.
 * Same input, same bytes for any number of threads: products are split over the output only, and
 * the eigensolver, whose level-2 steps are not, runs on one thread. */
#ifndef OUTPOST_LINALG_H
#define OUTPOST_LINALG_H

#include <stddef.h>

/* Threads of the products that follow; 0 leaves the library's choice. */
void linalg_threads(int n);

/* c[m,n] = a[m,k] b[n,k]' + beta c, f32: rows of a against rows of b. */
void linalg_gemm_abt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                     size_t ldb, float beta, float *c, size_t ldc);
/* The same in f64. */
void linalg_dgemm_abt(size_t m, size_t n, size_t k, const double *a, size_t lda, const double *b,
                      size_t ldb, double beta, double *c, size_t ldc);
/* x[m,n] = x l', l lower triangular [n,n], f32, in place. */
void linalg_trmm_lt(size_t m, size_t n, const float *l, size_t ldl, float *x, size_t ldx);
/* Lower triangle of c[d,d] += alpha x' x, x [n,d], f64. */
void linalg_syrk(size_t n, size_t d, double alpha, const double *x, double *c);
/* Lower triangle of c[d,d] += alpha x y' + alpha y x'. */
void linalg_syr2(size_t d, double alpha, const double *x, const double *y, double *c);

/* Eigenvalues w[n] ascending and, for the `take` of them that start at `first`, unit eigenvectors:
 * row i of a[take,n] belongs to w[first + i].  `a` [n,n] holds the matrix (lower triangle) before.
 * Scratch: linalg_eigh_scratch(n) doubles.  ERR_INTERNAL when the solver does not converge. */
size_t linalg_eigh_scratch(size_t n);
int linalg_eigh(size_t n, double *a, double *w, size_t first, size_t take, double *scratch);

/* Cholesky a = l l' in place (lower; the strict upper triangle is left as it was).  *rcond is an
 * estimate of 1 / cond_1(a), 0 when a is not positive definite (then a is destroyed).
 * Scratch: 4 n doubles. */
int linalg_cholesky(size_t n, double *a, double *rcond, double *scratch);
/* l -> inverse of l, lower triangular, in place. */
int linalg_invert_lower(size_t n, double *l);
/* Solves l l' x = b for one right side, in place. */
void linalg_cholesky_solve(size_t n, const double *l, double *b);

/* x = pinv(w) b, the least-squares solution of smallest norm, w [c,d] f32, b [c] f32, x [d] f64.
 * Computed in f64.  Singular values below PINV_CUTOFF times the largest count as zero: 20 times above
 * what f32 rounding of the entries leaves of an exact zero (a head whose rows sum to zero), where
 * the published f32 code with its cut-off of 1e-15 divides by noise.  *rank: kept singular values. */
#define PINV_CUTOFF 1e-6
int linalg_pinv_solve(size_t c, size_t d, const float *w, const float *b, double *x, size_t *rank);

#endif
