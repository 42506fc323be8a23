/* The backend of OpenBLAS and LAPACKE.  f32 products bound the distances and divergences of a row; those
 * that may be the smallest are computed again in f64, so that nothing cancels. */
#include "score/linalg_backend.h"

#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/neighbours.h"
#include "score/stats/budget.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH = 3 };

typedef struct cpu {
    linalg base;
    budget *mem;
    float *scratch[SCRATCH]; /* grown on demand, valid within one call */
    size_t room[SCRATCH];    /* floats */
    size_t d;                /* the stream of moments */
    const double *origins;
    double *second;
} cpu;

struct linalg_matrix {
    linalg_values v;
};

static int scratch_of(cpu *c, int which, size_t count, float **out)
{
    int rc = 0;
    if (c->room[which] < count) {
        budget_free(c->mem, &c->scratch[which]);
        c->room[which] = 0;
        TRY(budget_new(c->mem, &c->scratch[which], count, sizeof **out, "scratch of a block"));
        c->room[which] = count;
    }
    *out = c->scratch[which];
done:
    return rc;
}

static void describe(const linalg *la, char *text, size_t room)
{
    (void)la;
    snprintf(text, room, "cpu");
}

static void close_cpu(linalg **la)
{
    cpu *c = (cpu *)*la;
    if (c == NULL) return;
    for (int i = 0; i < SCRATCH; i++)
        budget_free(c->mem, &c->scratch[i]);
    free(c);
    *la = NULL;
}

static int keep(linalg *la, linalg_matrix **m, const linalg_values *v)
{
    int rc = mem_new(m, 1, sizeof **m, "matrix");
    (void)la;
    if (rc == 0) (*m)->v = *v;
    return rc;
}

static void drop(linalg *la, linalg_matrix **m)
{
    (void)la;
    free(*m);
    *m = NULL;
}

/* ---- rows ------------------------------------------------------------------------------------- */

static int product(linalg *la, const linalg_matrix *m, const float *x, size_t n, float *y)
{
    (void)la;
    linalg_gemm_abt(n, m->v.n, m->v.k, x, m->v.k, m->v.f32, m->v.k, 0, y, m->v.n);
    return 0;
}

/* centred [n,k] = x - origin, f32 */
static int centre(cpu *c, const float *origin, const float *x, size_t n, size_t k, float **centred)
{
    int rc = 0;
    TRY(scratch_of(c, 0, n * k, centred));
    float *to = *centred;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            to[i * k + j] = x[i * k + j] - origin[j];
done:
    return rc;
}

/* f32 difference and product, f64 sum.  Always projected: the difference of two large norms would
 * cancel. */
static int norms(linalg *la, const linalg_matrix *m, size_t rows, const linalg_matrix *origin,
                 const float *x, size_t n, float *norm)
{
    int rc = 0;
    cpu *c = (cpu *)la;
    size_t k = m->v.k;
    float *centred, *projected;
    TRY(centre(c, origin->v.f32, x, n, k, &centred));
    TRY(scratch_of(c, 1, n * rows, &projected));
    linalg_gemm_abt(n, rows, k, centred, k, m->v.f32, k, 0, projected, rows);
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < rows; j++)
            sum += (double)projected[i * rows + j] * (double)projected[i * rows + j];
        norm[i] = (float)sqrt(sum);
    }
done:
    return rc;
}

/* ---- the nearest mean ------------------------------------------------------------------------- */

static double distance(const float *y, const float *m, size_t r)
{
    double lane[8] = {0}, sum = 0;
    size_t j = 0;
    for (; j + 8 <= r; j += 8)
        for (size_t l = 0; l < 8; l++) {
            double t = (double)(y[j + l] - m[j + l]);
            lane[l] += t * t;
        }
    for (; j < r; j++)
        lane[0] += (double)(y[j] - m[j]) * (double)(y[j] - m[j]);
    for (int l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

/* Smallest distance of one row; dot [k] are its products with the means.  Infinite when the row is too
 * far for f32. */
static double nearest_of(const linalg_values *mean, const double *square, const float *y,
                         const float *dot)
{
    double yy = 0, least = INFINITY, best, margin;
    size_t first = 0, r = mean->k;
    for (size_t j = 0; j < r; j++)
        yy += (double)y[j] * (double)y[j];
    if (!(yy < INFINITY)) return INFINITY;
    for (size_t k = 0; k < mean->n; k++) {
        double v = square[k] - 2 * (double)dot[k];
        if (v < least) {
            least = v;
            first = k;
        }
    }
    /* f32 products of length r: the error stays far below this */
    margin = 1e-5 * (yy + square[first]);
    best = distance(y, mean->f32 + first * r, r);
    for (size_t k = 0; k < mean->n; k++) {
        double v = yy + square[k] - 2 * (double)dot[k];
        if (k == first || (v > best + margin && v < INFINITY)) continue;
        best = fmin(best, distance(y, mean->f32 + k * r, r));
    }
    return best;
}

/* y [n,r] = a (x - origin), f32 products after centring. */
static int project(cpu *c, const linalg_values *a, const float *origin, const float *x, size_t n,
                   float *y)
{
    int rc = 0;
    float *centred;
    TRY(centre(c, origin, x, n, a->k, &centred));
    if (a->lower) linalg_gemm_lower(n, a->k, centred, a->f32, y);
    else linalg_gemm_abt(n, a->n, a->k, centred, a->k, a->f32, a->k, 0, y, a->n);
done:
    return rc;
}

/* The same in f64, a tile of rows at a time. */
static int project_exactly(cpu *c, const linalg_values *a, const float *origin, const float *x, size_t n,
                           float *y)
{
    int rc = 0;
    size_t d = a->k, r = a->n;
    float *room;
    TRY(scratch_of(c, 0, 2 * LINALG_TILE_ROWS * (d + r), &room));
    double *centred = (double *)(void *)room, *v = centred + LINALG_TILE_ROWS * d;
    for (size_t at = 0; at < n; at += LINALG_TILE_ROWS) {
        size_t rows = n - at < LINALG_TILE_ROWS ? n - at : LINALG_TILE_ROWS;
        for (size_t k = 0; k < rows * d; k++)
            centred[k] = (double)x[at * d + k] - (double)origin[k % d];
        linalg_dgemm_abt(rows, r, d, centred, d, a->f64, d, 0, v, r);
        for (size_t k = 0; k < rows * r; k++)
            y[at * r + k] = (float)v[k];
    }
done:
    return rc;
}

static int nearest(linalg *la, const linalg_matrix *a, const linalg_matrix *origin,
                   const linalg_matrix *mean, const linalg_matrix *square, const float *x, size_t n,
                   double *least)
{
    int rc = 0;
    cpu *c = (cpu *)la;
    const linalg_values *m = &mean->v;
    float *y, *dot;
    TRY(scratch_of(c, 1, n * m->k, &y));
    TRY(scratch_of(c, 2, n * m->n, &dot));
    TRY((a->v.f64 != NULL ? project_exactly : project)(c, &a->v, origin->v.f32, x, n, y));
    linalg_gemm_abt(n, m->n, m->k, y, m->k, m->f32, m->k, 0, dot, m->n);
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        least[i] = nearest_of(m, square->v.f64, y + i * m->k, dot + i * m->n);
done:
    return rc;
}

/* ---- the least cross entropy ------------------------------------------------------------------ */

static double entropy_of(const float *p, const double *logq, size_t c)
{
    double sum = 0;
    for (size_t j = 0; j < c; j++)
        if (p[j] > 0) sum -= (double)p[j] * logq[j];
    return sum;
}

/* dot [n] = sum p log q, f32, never below the exact value by more than margin. */
static double smallest(const linalg_values *q, const float *p, const float *dot)
{
    size_t first = 0;
    double best, margin;
    for (size_t k = 1; k < q->n; k++)
        if (dot[k] > dot[first]) first = k;
    margin = 1e-5 * (1 + (double)fabsf(dot[first]));
    best = entropy_of(p, q->f64 + first * q->k, q->k);
    for (size_t k = 0; k < q->n; k++)
        if (k != first && -(double)dot[k] < best + margin)
            best = fmin(best, entropy_of(p, q->f64 + k * q->k, q->k));
    return best;
}

static int cross_entropy(linalg *la, const linalg_matrix *m, const float *x, size_t n, double *least)
{
    int rc = 0;
    const linalg_values *q = &m->v;
    float *dot;
    TRY(scratch_of((cpu *)la, 0, n * q->n, &dot));
    linalg_gemm_abt(n, q->n, q->k, x, q->k, q->f32, q->k, 0, dot, q->n);
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        least[i] = smallest(q, x + i * q->k, dot + i * q->n);
done:
    return rc;
}

/* ---- neighbours ------------------------------------------------------------------------------- */

static int bank_new(linalg *la, linalg_bank **b, size_t n, size_t k)
{
    return near_bank_new(b, ((cpu *)la)->mem, n, k);
}

static int bank_add(linalg *la, linalg_bank *b, const float *x, size_t n)
{
    (void)la;
    return near_bank_add(b, x, n);
}

static void bank_drop(linalg *la, linalg_bank **b)
{
    (void)la;
    near_bank_drop(b);
}

static int neighbours(linalg *la, const linalg_bank *b, const size_t *rank, size_t ranks, const float *x,
                      size_t n, double *distance, int64_t *index)
{
    (void)la;
    return near_search(b, near_best(), rank, ranks, x, n, distance, index);
}

/* ---- second moments, eigenvectors ------------------------------------------------------------- */

static int moments_begin(linalg *la, size_t d, const double *origins, size_t n_origins, double *second)
{
    cpu *c = (cpu *)la;
    (void)n_origins;
    c->d = d;
    c->origins = origins;
    c->second = second;
    memset(second, 0, d * d * sizeof *second);
    return 0;
}

static int moments_add(linalg *la, const float *x, const int32_t *of, size_t n)
{
    int rc = 0;
    cpu *c = (cpu *)la;
    size_t d = c->d;
    float *room;
    TRY(scratch_of(c, 0, 2 * n * d, &room));
    double *block = (double *)(void *)room;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        const double *o = c->origins + (of != NULL && of[i] > 0 ? (size_t)of[i] * d : 0);
        for (size_t j = 0; j < d; j++)
            block[i * d + j] = of != NULL && of[i] < 0 ? 0 : (double)x[i * d + j] - o[j];
    }
    linalg_syrk(n, d, 1, block, c->second);
done:
    return rc;
}

static int moments_end(linalg *la)
{
    cpu *c = (cpu *)la;
    c->origins = NULL;
    c->second = NULL;
    return 0;
}

static int eigh(linalg *la, size_t n, double *a, double *w, size_t first, size_t take)
{
    int rc = 0;
    cpu *c = (cpu *)la;
    double *scratch = NULL;
    TRY(budget_new(c->mem, &scratch, linalg_eigh_scratch(n), sizeof *scratch, "eigensolver"));
    TRY(linalg_eigh(n, a, w, first, take, scratch));
done:
    budget_free(c->mem, &scratch);
    return rc;
}

static const linalg_ops ops = {
    .abi = LINALG_ABI,
    .name = "cpu",
    .describe = describe,
    .close = close_cpu,
    .keep = keep,
    .drop = drop,
    .product = product,
    .norms = norms,
    .nearest = nearest,
    .cross_entropy = cross_entropy,
    .bank_new = bank_new,
    .bank_add = bank_add,
    .bank_drop = bank_drop,
    .neighbours = neighbours,
    .moments_begin = moments_begin,
    .moments_add = moments_add,
    .moments_end = moments_end,
    .eigh = eigh,
};

int linalg_cpu_open(linalg **out, budget *mem)
{
    int rc = 0;
    cpu *c = NULL;
    TRY(mem_new(&c, 1, sizeof *c, "linear algebra"));
    c->base.ops = &ops;
    c->mem = mem;
    *out = &c->base;
done:
    return rc;
}
