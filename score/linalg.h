/* Dense linear algebra of score: the only caller of BLAS and LAPACK.
 * Matrices are row-major with explicit leading dimensions; symmetric ones are full n x n arrays of
 * which the lower triangle (row >= column) counts, unless said otherwise.
 * Same input, same bytes for any number of threads: the libraries run single-threaded (their own
 * partition moves the last bits), products are split here into tiles of fixed size over the output,
 * which OpenMP threads take.  Eigensolver and factorisations run on one thread. */
#ifndef OUTPOST_LINALG_H
#define OUTPOST_LINALG_H

#include <stddef.h>

/* Rows of a tile: a caller that cuts rows into blocks at multiples of it gets the same bytes however
 * large the blocks are. */
enum { LINALG_TILE_ROWS = 512 };

/* Sets the library to one thread; before the first call of the others. */
void linalg_open(void);
/* The kernels that the library chose for this processor (or OPENBLAS_CORETYPE for it): "SkylakeX". */
const char *linalg_kernels(void);

/* c[m,n] = a[m,k] b[n,k]' + beta c, f32: rows of a against rows of b. */
void linalg_gemm_abt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                     size_t ldb, float beta, float *c, size_t ldc);
/* The same in f64. */
void linalg_dgemm_abt(size_t m, size_t n, size_t k, const double *a, size_t lda, const double *b,
                      size_t ldb, double beta, double *c, size_t ldc);
/* y[m,n] = x[m,n] l', l lower triangular [n,n] with zeros above, f32. */
void linalg_gemm_lower(size_t m, size_t n, const float *x, const float *l, float *y);
/* The same in f64. */
void linalg_dgemm_lower(size_t m, size_t n, const double *x, const double *l, double *y);
/* Lower triangle of c[d,d] += alpha x' x, x [n,d], f64. */
void linalg_syrk(size_t n, size_t d, double alpha, const double *x, double *c);

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
