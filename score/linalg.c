#include "score/linalg.h"
#include "common/err.h"
#include "common/mem.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_ROWS = LINALG_TILE_ROWS, TILE_COLUMNS = 256 };

/* Not in every cblas.h; weak so that another BLAS links too. */
extern void openblas_set_num_threads(int) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

void linalg_open(void)
{
    if (openblas_set_num_threads != NULL) openblas_set_num_threads(1);
}

const char *linalg_kernels(void)
{
    return openblas_get_corename != NULL ? openblas_get_corename() : "unknown";
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t tiles(size_t n, size_t tile)
{
    return (n + tile - 1) / tile;
}

void linalg_gemm_abt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                     size_t ldb, float beta, float *c, size_t ldc)
{
    size_t across = tiles(n, TILE_COLUMNS), all = tiles(m, TILE_ROWS) * across;
#pragma omp parallel for schedule(dynamic, 1) if (all > 1)
    for (size_t t = 0; t < all; t++) {
        size_t i = t / across * TILE_ROWS, j = t % across * TILE_COLUMNS;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)least(m - i, TILE_ROWS),
                    (int)least(n - j, TILE_COLUMNS), (int)k, 1, a + i * lda, (int)lda, b + j * ldb,
                    (int)ldb, beta, c + i * ldc + j, (int)ldc);
    }
}

void linalg_dgemm_abt(size_t m, size_t n, size_t k, const double *a, size_t lda, const double *b,
                      size_t ldb, double beta, double *c, size_t ldc)
{
    size_t across = tiles(n, TILE_COLUMNS), all = tiles(m, TILE_ROWS) * across;
#pragma omp parallel for schedule(dynamic, 1) if (all > 1)
    for (size_t t = 0; t < all; t++) {
        size_t i = t / across * TILE_ROWS, j = t % across * TILE_COLUMNS;
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)least(m - i, TILE_ROWS),
                    (int)least(n - j, TILE_COLUMNS), (int)k, 1, a + i * lda, (int)lda, b + j * ldb,
                    (int)ldb, beta, c + i * ldc + j, (int)ldc);
    }
}

/* Tile columns j need x only up to their own end: the work is half of the square. */
void linalg_gemm_lower(size_t m, size_t n, const float *x, const float *l, float *y)
{
    size_t across = tiles(n, TILE_COLUMNS), down = tiles(m, TILE_ROWS), all = down * across;
#pragma omp parallel for schedule(dynamic, 1) if (all > 1)
    for (size_t t = 0; t < all; t++) { /* long tiles first */
        size_t i = t % down * TILE_ROWS, j = (across - 1 - t / down) * TILE_COLUMNS;
        size_t columns = least(n - j, TILE_COLUMNS);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)least(m - i, TILE_ROWS),
                    (int)columns, (int)(j + columns), 1, x + i * n, (int)n, l + j * n, (int)n, 0,
                    y + i * n + j, (int)n);
    }
}

void linalg_dgemm_lower(size_t m, size_t n, const double *x, const double *l, double *y)
{
    size_t across = tiles(n, TILE_COLUMNS), down = tiles(m, TILE_ROWS), all = down * across;
#pragma omp parallel for schedule(dynamic, 1) if (all > 1)
    for (size_t t = 0; t < all; t++) {
        size_t i = t % down * TILE_ROWS, j = (across - 1 - t / down) * TILE_COLUMNS;
        size_t columns = least(n - j, TILE_COLUMNS);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)least(m - i, TILE_ROWS),
                    (int)columns, (int)(j + columns), 1, x + i * n, (int)n, l + j * n, (int)n, 0,
                    y + i * n + j, (int)n);
    }
}

static void syrk_tile(size_t n, size_t d, size_t i, size_t j, double alpha, const double *x,
                      double *c)
{
    int rows = (int)least(d - i, TILE_COLUMNS), columns = (int)least(d - j, TILE_COLUMNS);
    if (i == j)
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, rows, (int)n, alpha, x + i, (int)d, 1,
                    c + i * d + i, (int)d);
    else
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, columns, (int)n, alpha, x + i,
                    (int)d, x + j, (int)d, 1, c + i * d + j, (int)d);
}

void linalg_syrk(size_t n, size_t d, double alpha, const double *x, double *c)
{
    size_t across = tiles(d, TILE_COLUMNS), all = across * across;
    if (n == 0) return;
#pragma omp parallel for schedule(dynamic, 1) if (all > 1)
    for (size_t t = 0; t < all; t++) {
        size_t i = t / across, j = t % across;
        if (j <= i) syrk_tile(n, d, i * TILE_COLUMNS, j * TILE_COLUMNS, alpha, x, c);
    }
}

/* ---- symmetric eigenproblem ------------------------------------------------------------------ */

/* Tridiagonal reduction, divide and conquer, back transformation of the wanted vectors only. */
static size_t dstedc_work(size_t n)
{
    return 1 + 4 * n + n * n;
}

size_t linalg_eigh_scratch(size_t n)
{
    /* z [n,n], off-diagonal, tau, work; integer work counted in doubles */
    return n * n + 2 * n + dstedc_work(n) + 64 * n + (3 + 5 * n);
}

int linalg_eigh(size_t n, double *a, double *w, size_t first, size_t take, double *scratch)
{
    int rc = 0;
    lapack_int in = (lapack_int)n, info, lwork = (lapack_int)(dstedc_work(n) + 64 * n);
    double *z = scratch, *off = z + n * n, *tau = off + n, *work = tau + n;
    lapack_int *iwork = (lapack_int *)(void *)(work + lwork);
    if (n == 0) goto done;
    /* Row-major lower is column-major upper. */
    info = LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'U', in, a, in, w, off, tau, work, lwork);
    CHECK(info == 0, ERR_INTERNAL, "eigensolver: dsytrd gave %d", (int)info);
    info = LAPACKE_dstedc_work(LAPACK_COL_MAJOR, 'I', in, w, off, z, in, work, lwork, iwork,
                               (lapack_int)(3 + 5 * n));
    CHECK(info == 0, ERR_INTERNAL, "eigensolver: dstedc gave %d (no convergence)", (int)info);
    info = LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'U', 'N', in, (lapack_int)take, a, in, tau,
                               z + first * n, in, work, lwork);
    CHECK(info == 0, ERR_INTERNAL, "eigensolver: dormtr gave %d", (int)info);
    memcpy(a, z + first * n, take * n * sizeof *a);
done:
    return rc;
}

/* ---- Cholesky -------------------------------------------------------------------------------- */

int linalg_cholesky(size_t n, double *a, double *rcond, double *scratch)
{
    int rc = 0;
    lapack_int in = (lapack_int)n, info;
    double norm = 0;
    double *sum = scratch;
    *rcond = 0;
    memset(sum, 0, n * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            double v = fabs(a[i * n + j]);
            sum[i] += v;
            sum[j] += v;
        }
        sum[i] += fabs(a[i * n + i]);
    }
    for (size_t i = 0; i < n; i++)
        norm = fmax(norm, sum[i]);
    info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', in, a, in);
    CHECK(info >= 0, ERR_INTERNAL, "Cholesky: dpotrf gave %d", (int)info);
    if (info > 0) goto done;
    info = LAPACKE_dpocon_work(LAPACK_COL_MAJOR, 'U', in, a, in, norm, rcond, scratch,
                               (lapack_int *)(void *)(scratch + 3 * n));
    CHECK(info == 0, ERR_INTERNAL, "Cholesky: dpocon gave %d", (int)info);
done:
    return rc;
}

int linalg_invert_lower(size_t n, double *l)
{
    lapack_int info =
        LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', (lapack_int)n, l, (lapack_int)n);
    return info == 0 ? 0 : err_set(ERR_INTERNAL, "triangular inverse: dtrtri gave %d", (int)info);
}

void linalg_cholesky_solve(size_t n, const double *l, double *b)
{
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)n, l, (int)n, b, 1);
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, (int)n, l, (int)n, b, 1);
}

/* ---- pseudo-inverse -------------------------------------------------------------------------- */

/* Through the smaller Gram matrix g = w w' or w' w, one refinement; good while cond(w) < 1e4. */
static int pinv_by_gram(size_t c, size_t d, const double *w, const float *b, double *x,
                        int *done_it)
{
    int rc = 0, wide = c <= d;
    size_t n = wide ? c : d;
    double *g = NULL, *s = NULL, *r = NULL, rcond = 0;
    *done_it = 0;
    TRY(mem_new_aligned(&g, n * n, sizeof *g, "Gram matrix"));
    TRY(mem_new_aligned(&s, 4 * n, sizeof *s, "Gram matrix"));
    TRY(mem_new_aligned(&r, c, sizeof *r, "residual"));
    cblas_dsyrk(CblasRowMajor, CblasLower, wide ? CblasNoTrans : CblasTrans, (int)n,
                (int)(wide ? d : c), 1, w, (int)d, 0, g, (int)n);
    TRY(linalg_cholesky(n, g, &rcond, s));
    if (rcond < 1e-8) goto done;
    memset(x, 0, d * sizeof *x);
    for (int step = 0; step < 2; step++) {
        for (size_t i = 0; i < c; i++)
            r[i] = b[i];
        cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)c, (int)d, -1, w, (int)d, x, 1, 1, r, 1);
        if (wide) { /* x += w' g^-1 r */
            linalg_cholesky_solve(n, g, r);
            cblas_dgemv(CblasRowMajor, CblasTrans, (int)c, (int)d, 1, w, (int)d, r, 1, 1, x, 1);
        } else { /* x += g^-1 w' r */
            cblas_dgemv(CblasRowMajor, CblasTrans, (int)c, (int)d, 1, w, (int)d, r, 1, 0, s, 1);
            linalg_cholesky_solve(n, g, s);
            cblas_daxpy((int)d, 1, s, 1, x, 1);
        }
    }
    *done_it = 1;
done:
    free(g);
    free(s);
    free(r);
    return rc;
}

/* x = v diag(1/s) u' b over the kept singular values; w is destroyed. */
static int pinv_by_svd(size_t c, size_t d, double *w, const float *b, double *x, size_t *rank)
{
    int rc = 0;
    size_t n = c < d ? c : d;
    double *s = NULL, *u = NULL, *vt = NULL;
    lapack_int info;
    TRY(mem_new_aligned(&s, n, sizeof *s, "singular values"));
    TRY(mem_new_aligned(&u, c * n, sizeof *u, "singular vectors"));
    TRY(mem_new_aligned(&vt, n * d, sizeof *vt, "singular vectors"));
    /* Row-major [c,d] is column-major [d,c]: its left vectors are our right ones. */
    info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', (lapack_int)d, (lapack_int)c, w, (lapack_int)d, s,
                          vt, (lapack_int)d, u, (lapack_int)n);
    CHECK(info == 0, ERR_INTERNAL, "pseudo-inverse: dgesdd gave %d", (int)info);
    memset(x, 0, d * sizeof *x);
    *rank = 0;
    for (size_t k = 0; k < n && s[k] > PINV_CUTOFF * s[0]; k++, (*rank)++) {
        double t = 0;
        for (size_t i = 0; i < c; i++)
            t += u[i * n + k] * (double)b[i];
        t /= s[k];
        for (size_t j = 0; j < d; j++)
            x[j] += t * vt[k * d + j];
    }
done:
    free(s);
    free(u);
    free(vt);
    return rc;
}

int linalg_pinv_solve(size_t c, size_t d, const float *w, const float *b, double *x, size_t *rank)
{
    int rc = 0, done_it = 0;
    double *wd = NULL;
    size_t n = c * d;
    TRY(mem_new_aligned(&wd, n, sizeof *wd, "head"));
    for (size_t i = 0; i < n; i++)
        wd[i] = w[i];
    *rank = c < d ? c : d;
    TRY(pinv_by_gram(c, d, wd, b, x, &done_it));
    if (!done_it) TRY(pinv_by_svd(c, d, wd, b, x, rank));
done:
    free(wd);
    return rc;
}
