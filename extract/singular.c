#include "extract/singular.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 24, RESTARTS = 500, SWEEPS = 60 };

static const double RESIDUAL = 1e-13;

typedef struct problem {
    const double *a;
    size_t rows, cols, n;          /* n: the smaller side */
    double *basis;                 /* [STEPS + 1, n] orthonormal */
    double *other;                 /* [the larger side] */
    double alpha[STEPS], beta[STEPS + 1];
} problem;

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y [rows] = a x */
static void times(const problem *p, const double *x, double *y)
{
    for (size_t i = 0; i < p->rows; i++)
        y[i] = dot(p->a + i * p->cols, x, p->cols);
}

/* y [cols] = a' x */
static void transposed_times(const problem *p, const double *x, double *y)
{
    memset(y, 0, p->cols * sizeof *y);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            y[j] += x[i] * p->a[i * p->cols + j];
}

/* y = the smaller Gram matrix times x */
static void gram_times(const problem *p, const double *x, double *y)
{
    if (p->rows <= p->cols) {
        transposed_times(p, x, p->other);
        times(p, p->other, y);
    } else {
        times(p, x, p->other);
        transposed_times(p, p->other, y);
    }
}

/* Largest eigenvalue and its vector s [m] of the symmetric tridiagonal matrix, by Jacobi's rotations. */
static double small_eigen(const problem *p, int m, double *s)
{
    double t[STEPS][STEPS] = { { 0 } }, v[STEPS][STEPS] = { { 0 } };
    int best = 0;
    for (int i = 0; i < m; i++) {
        t[i][i] = p->alpha[i];
        v[i][i] = 1;
        if (i > 0) t[i][i - 1] = t[i - 1][i] = p->beta[i];
    }
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (int i = 0; i < m; i++)
            for (int j = i + 1; j < m; j++) {
                double theta, f, c, r;
                if (t[i][j] == 0) continue;
                theta = (t[j][j] - t[i][i]) / (2 * t[i][j]);
                f = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                c = 1 / sqrt(f * f + 1);
                r = f * c;
                for (int k = 0; k < m; k++) {
                    double a = t[k][i], b = t[k][j];
                    t[k][i] = c * a - r * b;
                    t[k][j] = r * a + c * b;
                }
                for (int k = 0; k < m; k++) {
                    double a = t[i][k], b = t[j][k];
                    t[i][k] = c * a - r * b;
                    t[j][k] = r * a + c * b;
                    a = v[k][i];
                    b = v[k][j];
                    v[k][i] = c * a - r * b;
                    v[k][j] = r * a + c * b;
                }
            }
    for (int i = 1; i < m; i++)
        if (t[i][i] > t[best][best]) best = i;
    for (int i = 0; i < m; i++)
        s[i] = v[i][best];
    return t[best][best];
}

/* Extends the basis from its first vector; returns how many vectors span the space so far. */
static int lanczos(problem *p)
{
    int m = (size_t)STEPS < p->n ? STEPS : (int)p->n;
    for (int j = 0; j < m; j++) {
        double *v = p->basis + (size_t)j * p->n, *next = v + p->n, norm;
        gram_times(p, v, next);
        p->alpha[j] = dot(v, next, p->n);
        for (int again = 0; again < 2; again++) /* against rounding */
            for (int i = 0; i <= j; i++) {
                const double *u = p->basis + (size_t)i * p->n;
                double along = dot(u, next, p->n);
                for (size_t k = 0; k < p->n; k++)
                    next[k] -= along * u[k];
            }
        norm = sqrt(dot(next, next, p->n));
        p->beta[j + 1] = norm;
        if (!(norm > 1e-15 * fabs(p->alpha[0]))) return j + 1;
        for (size_t k = 0; k < p->n; k++)
            next[k] /= norm;
    }
    return m;
}

/* Restarts from the best vector of the space; 1 when it is accurate, -1 when numbers are not finite. */
static int improve(problem *p)
{
    double s[STEPS], value, residual, norm;
    int m = lanczos(p);
    double *x = p->basis;
    value = small_eigen(p, m, s);
    if (!isfinite(value)) return -1;
    residual = fabs(p->beta[m] * s[m - 1]);
    for (size_t k = 0; k < p->n; k++) {
        double sum = 0;
        for (int j = 0; j < m; j++)
            sum += s[j] * p->basis[(size_t)j * p->n + k];
        x[k] = sum;
    }
    norm = sqrt(dot(x, x, p->n));
    for (size_t k = 0; k < p->n; k++)
        x[k] /= norm;
    return residual <= RESIDUAL * value || value == 0;
}

/* a - (a v) v' or a - u (u' a), whichever side was solved. */
static void subtract(problem *p, double *a)
{
    const double *x = p->basis;
    int left = p->rows <= p->cols;
    if (left) transposed_times(p, x, p->other);
    else times(p, x, p->other);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            a[i * p->cols + j] -= left ? x[i] * p->other[j] : p->other[i] * x[j];
}

/* No singular vector is orthogonal to a start without pattern, but for bad luck. */
static void start(problem *p)
{
    unsigned long long state = 88172645463325252u;
    double norm;
    for (size_t i = 0; i < p->n; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        p->basis[i] = (double)(state >> 11) / 9007199254740992.0 - 0.5;
    }
    norm = sqrt(dot(p->basis, p->basis, p->n));
    for (size_t i = 0; i < p->n; i++)
        p->basis[i] /= norm;
}

int singular_deflate(double *a, size_t rows, size_t cols)
{
    problem p = { .a = a, .rows = rows, .cols = cols, .n = rows < cols ? rows : cols };
    int done = 0, rc = -1;
    p.basis = calloc((STEPS + 1) * p.n, sizeof *p.basis);
    p.other = calloc(rows + cols, sizeof *p.other);
    if (p.basis != NULL && p.other != NULL) {
        start(&p);
        for (int i = 0; i < RESTARTS && done == 0; i++)
            done = improve(&p);
        if (done > 0) subtract(&p, a);
        rc = done > 0 ? 0 : SINGULAR_NONE;
    }
    free(p.basis);
    free(p.other);
    return rc;
}
