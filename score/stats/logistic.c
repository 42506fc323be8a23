#include "score/stats/logistic.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDS = 5, GRID = 10, STEPS = 200 };

double logistic_odds(const double *w, const double *x, size_t d)
{
    double sum = w[d];
    for (size_t j = 0; j < d; j++)
        sum += w[j] * x[j];
    return sum;
}

typedef struct problem {
    const double *x;
    const unsigned char *y, *skip;
    size_t n, d;
    double c;
} problem;

static double softplus(double v)
{
    return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v));
}

static double loss(const problem *p, const double *w)
{
    double sum = 0, norm = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->skip != NULL && p->skip[i]) continue;
        double v = logistic_odds(w, p->x + i * p->d, p->d);
        sum += softplus(p->y[i] ? -v : v);
    }
    for (size_t j = 0; j < p->d; j++)
        norm += w[j] * w[j];
    return p->c * sum + norm / 2;
}

/* Gradient [d+1] and lower triangle of the Hessian [d+1,d+1]. */
static void derivatives(const problem *p, const double *w, double *g, double *h)
{
    size_t m = p->d + 1;
    memset(g, 0, m * sizeof *g);
    memset(h, 0, m * m * sizeof *h);
    for (size_t i = 0; i < p->n; i++) {
        const double *x = p->x + i * p->d;
        if (p->skip != NULL && p->skip[i]) continue;
        double q = 1 / (1 + exp(-logistic_odds(w, x, p->d))), e = p->c * (q - (p->y[i] ? 1 : 0));
        double s = p->c * q * (1 - q);
        for (size_t a = 0; a < m; a++) {
            double xa = a < p->d ? x[a] : 1;
            g[a] += e * xa;
            for (size_t b = 0; b <= a; b++)
                h[a * m + b] += s * xa * (b < p->d ? x[b] : 1);
        }
    }
    for (size_t j = 0; j < p->d; j++) {
        g[j] += w[j];
        h[j * m + j] += 1;
    }
}

/* One damped step; 0 when nothing moves any more. */
static int step(const problem *p, double *w, double *room, int *moved)
{
    int rc = 0;
    size_t m = p->d + 1;
    double *g = room, *h = g + m, *scratch = h + m * m, *next = scratch + 4 * m;
    double before = loss(p, w), rcond, by = 1;
    *moved = 0;
    derivatives(p, w, g, h);
    h[m * m - 1] += 1e-12; /* rows that are all certain leave the intercept flat */
    TRY(linalg_cholesky(m, h, &rcond, scratch));
    if (rcond == 0) goto done;
    linalg_cholesky_solve(m, h, g);
    for (int halved = 0; halved < 60; halved++, by /= 2) {
        for (size_t j = 0; j < m; j++)
            next[j] = w[j] - by * g[j];
        if (loss(p, next) < before) {
            for (size_t j = 0; j < m; j++)
                *moved |= fabs(next[j] - w[j]) > 1e-13 * (1 + fabs(w[j]));
            memcpy(w, next, m * sizeof *w);
            break;
        }
    }
done:
    return rc;
}

int logistic_fit(const double *x, const unsigned char *y, const unsigned char *skip, size_t n, size_t d, double c,
                 double *w)
{
    int rc = 0, moved = 1;
    size_t m = d + 1;
    problem p = {x, y, skip, n, d, c};
    double *room = NULL;
    TRY(mem_new(&room, m * m + 6 * m, sizeof *room, "logistic regression"));
    memset(w, 0, m * sizeof *w);
    for (int i = 0; i < STEPS && moved; i++)
        TRY(step(&p, w, room, &moved));
done:
    free(room);
    return rc;
}

/* scikit-learn's StratifiedKFold without shuffling: fold [n] of each row.  Classes are numbered as they appear, the
 * sorted labels dealt to the folds in turn; of each class the first rows go to the first fold. */
static void stratify(const unsigned char *y, size_t n, unsigned char *fold)
{
    size_t take[FOLDS][2] = {{0}}, count[2] = {0}, used[2] = {0}, at[2] = {0};
    for (size_t i = 0; i < n; i++)
        count[(y[i] != 0) != (y[0] != 0)]++;
    for (size_t i = 0; i < n; i++)
        take[i % FOLDS][i >= count[0]]++;
    for (size_t i = 0; i < n; i++) {
        size_t k = (y[i] != 0) != (y[0] != 0);
        while (used[k] == take[at[k]][k]) {
            at[k]++;
            used[k] = 0;
        }
        used[k]++;
        fold[i] = (unsigned char)at[k];
    }
}

static double accuracy(const double *x, const unsigned char *y, const unsigned char *fold, size_t n, size_t d,
                       unsigned char k, const double *w)
{
    size_t right = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        if (fold[i] != k) continue;
        right += (logistic_odds(w, x + i * d, d) > 0) == (y[i] != 0);
        all++;
    }
    return (double)right / (double)all;
}

int logistic_fit_cv(const double *x, const unsigned char *y, size_t n, size_t d, double *w, double *c)
{
    int rc = 0;
    double best = -1;
    unsigned char *fold = NULL, *skip = NULL;
    TRY(mem_new(&fold, n, 1, "folds"));
    TRY(mem_new(&skip, n, 1, "folds"));
    stratify(y, n, fold);
    for (int g = 0; g < GRID; g++) {
        double try_c = pow(10, -4 + 8 * (double)g / (GRID - 1)), sum = 0;
        for (unsigned char k = 0; k < FOLDS; k++) {
            for (size_t i = 0; i < n; i++)
                skip[i] = fold[i] == k;
            TRY(logistic_fit(x, y, skip, n, d, try_c, w));
            sum += accuracy(x, y, fold, n, d, k, w);
        }
        if (sum / FOLDS > best) {
            best = sum / FOLDS;
            *c = try_c;
        }
    }
    TRY(logistic_fit(x, y, NULL, n, d, *c, w));
done:
    free(fold);
    free(skip);
    return rc;
}
