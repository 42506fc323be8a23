/* CFOOD, the density of OpenOOD's postprocessor of that name.
 *   f = h / (|h| + 1e-10); bank: n = part N train rows, drawn without order
 *   e_ij  squared distance of row i of the bank to its neighbour of rank g_j in the bank (rank 0: itself)
 *   a_j(h) part of the rows i with e_ij >= |f - f_i|^2;  S = -(first share kappa_j with a_j >= k, else 1)
 * 100 shares from 0.001 to 0.1, 81 from 0.105 to 0.5, 49 from 0.51 to 0.99; g_j = int(kappa_j n - 1), a share whose
 * rank was there before is left out.  Distances in f64 from the f32 rows: scores are steps, and rounding moves rows
 * between them. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/bank.h"
#include "score/stats/draw.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>

enum { SHARES = 230, TILE = 128 };

typedef struct state_type {
    double *f;      /* [n,d] */
    double *square; /* [n] */
    double *e;      /* [n,g] */
    size_t n, d, g;
    double share[SHARES];
    size_t rank[SHARES];
    budget *mem;
} state_type;

/* numpy's linspace */
static double spaced(double from, double to, size_t n, size_t i)
{
    return i + 1 == n ? to : from + (double)i * ((to - from) / (double)(n - 1));
}

static void shares(state_type *s)
{
    for (size_t i = 0; i < SHARES; i++) {
        double share = i < 100   ? spaced(0.001, 0.1, 100, i)
                       : i < 181 ? spaced(0.105, 0.5, 81, i - 100)
                                 : spaced(0.51, 0.99, 49, i - 181);
        double rank = trunc(share * (double)s->n - 1);
        size_t at = rank > 0 ? (size_t)rank : 0;
        if (s->g > 0 && s->rank[s->g - 1] == at) continue;
        s->share[s->g] = share;
        s->rank[s->g++] = at;
    }
}

static void normalise(const float *h, size_t d, double *f)
{
    double length = sqrt(rows_square(h, d)) + 1e-10;
    for (size_t j = 0; j < d; j++)
        f[j] = (double)(float)((double)h[j] / length);
}

static double square_of(const double *f, size_t d)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += f[j] * f[j];
    return sum;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* dot [rows,n] -> squared distances, in place */
static void distances(const state_type *s, const double *square, size_t rows, double *dot)
{
#pragma omp parallel for
    for (size_t i = 0; i < rows; i++)
        for (size_t t = 0; t < s->n; t++)
            dot[i * s->n + t] = fmax(square[i] + s->square[t] - 2 * dot[i * s->n + t], 0);
}

static int measure(fit_context *f, state_type *s)
{
    int rc = 0;
    size_t n = s->n;
    double *dot = NULL;
    TRY(budget_new(f->mem, &s->e, n * s->g, sizeof *s->e, "neighbours in the bank of CFOOD"));
    TRY(budget_new(f->mem, &dot, TILE * n, sizeof *dot, "distances in the bank of CFOOD"));
    for (size_t begin = 0; begin < n; begin += TILE) {
        size_t rows = n - begin < TILE ? n - begin : TILE;
        linalg_dgemm_abt(rows, n, s->d, s->f + begin * s->d, s->d, s->f, s->d, 0, dot, n);
        distances(s, s->square + begin, rows, dot);
#pragma omp parallel for
        for (size_t i = 0; i < rows; i++) {
            double *row = dot + i * n;
            row[begin + i] = 0;
            qsort(row, n, sizeof *row, ascending);
            for (size_t j = 0; j < s->g; j++)
                s->e[(begin + i) * s->g + j] = row[s->rank[j]];
        }
    }
done:
    budget_free(f->mem, &dot);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t *row = NULL, rows = f->o->train->n;
    float *h = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "CFOOD"));
    *state = s;
    s->mem = f->mem;
    s->d = f->d;
    s->n = (size_t)(param_double(p, "part") * (double)rows);
    if (s->n < 2) {
        rc = fit_refuse(f, "a bank of %zu of %zu train rows has no neighbours", s->n, rows);
        goto done;
    }
    shares(s);
    if (s->n > budget_left(f->mem) / 4 * 3 / ((s->d + s->g + 3 * TILE) * sizeof(double))) {
        rc = fit_refuse(f, "a bank of %zu train rows does not fit into --memory: a smaller part would", s->n);
        goto done;
    }
    TRY(budget_new(f->mem, &row, s->n, sizeof *row, "rows of the bank of CFOOD"));
    TRY(budget_new(f->mem, &h, s->d, sizeof *h, "row of the bank of CFOOD"));
    TRY(budget_new(f->mem, &s->f, s->n * s->d, sizeof *s->f, "bank of CFOOD"));
    TRY(budget_new(f->mem, &s->square, s->n, sizeof *s->square, "bank of CFOOD"));
    draw_sample((uint64_t)param_int(p, "seed"), rows, s->n, row);
    for (size_t i = 0; i < s->n; i++) {
        TRY(bank_features(f->o->train, row + i, 1, h));
        normalise(h, s->d, s->f + i * s->d);
        s->square[i] = square_of(s->f + i * s->d, s->d);
    }
    TRY(measure(f, s));
done:
    if (s != NULL) {
        budget_free(f->mem, &row);
        budget_free(f->mem, &h);
    }
    return rc;
}

/* The first share whose count of rows reaches `least`; distance [n]. */
static double first_share(const state_type *s, const double *distance, double least)
{
    size_t count[SHARES + 1] = {0}, sum = 0;
    for (size_t t = 0; t < s->n; t++) {
        const double *e = s->e + t * s->g;
        size_t low = 0, high = s->g; /* e ascends: the first j with e_j >= distance */
        while (low < high) {
            size_t mid = (low + high) / 2;
            if (e[mid] >= distance[t]) high = mid;
            else low = mid + 1;
        }
        count[low]++;
    }
    for (size_t j = 0; j < s->g; j++) {
        sum += count[j];
        if ((double)sum / (double)s->n >= least) return s->share[j];
    }
    return 1;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    double least = param_double(p, "k");
    float *room;
    double *f, *dot, square[TILE];
    TRY(block_work(b, 0, 2 * TILE * s->d, &room));
    f = (double *)(void *)room;
    TRY(block_work(b, 1, 2 * TILE * s->n, &room));
    dot = (double *)(void *)room;
    for (size_t begin = 0; begin < b->n; begin += TILE) {
        size_t n = b->n - begin < TILE ? b->n - begin : TILE;
        for (size_t i = 0; i < n; i++) {
            normalise(b->h + (begin + i) * s->d, s->d, f + i * s->d);
            square[i] = square_of(f + i * s->d, s->d);
        }
        linalg_dgemm_abt(n, s->n, s->d, f, s->d, s->f, s->d, 0, dot, s->n);
        distances(s, square, n, dot);
#pragma omp parallel for
        for (size_t i = 0; i < n; i++)
            out[begin + i] = (float)-first_share(s, dot + i * s->n, least);
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->mem != NULL) {
        budget_free(s->mem, &s->f);
        budget_free(s->mem, &s->square);
        budget_free(s->mem, &s->e);
    }
    free(s);
    *state = NULL;
}

const method method_cfood = {
    .name = "cfood",
    .title = "CFOOD",
    .formula = "-(least share kappa with at least k of a train sample farther from their kappa n-th neighbour than from h)",
    .paper = "OpenOOD, postprocessor cfood, github.com/Jingkang50/OpenOOD",
    .quirks = "at most 231 different scores; which rows are drawn is a matter of the seed (nobody's in OpenOOD); "
              "distances in f64, f32 there",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN,
    .opts = (const method_opt[]){{"part", "0.1", "part of the train rows in the bank", 0, 1, NULL, 0},
                                 {"k", "0.01", "part of the bank that has to be as far", 0, 1, NULL, 0},
                                 {"seed", "1", "of the draw", 0, 9007199254740992.0, NULL, METHOD_WHOLE},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
