/* Mahalanobis distance to the nearest class mean, on the penultimate feature.
 * Lee et al., NeurIPS 2018, arXiv:1807.03888, simplified as by Fort et al. 2021, arXiv:2106.03004.
 *   S = -min_k (h - m_k)' P (h - m_k), P = pinvh(Sigma), Sigma = 1/N sum (x - m_y)(x - m_y)'
 * True labels; rows without one are left out, and so are classes without rows.  Features are whitened
 * once, a product gives all distances, and the classes that may be the nearest are measured again
 * without the expansion, which cancels.  A distance beyond f32 gives minus infinity. */
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/shared.h"
#include "score/stats/within.h"

#include <math.h>
#include <stdlib.h>

typedef struct state_type {
    whitening w;
    budget *mem;
} state_type;

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    (void)p;
    TRY(mem_new(&s, 1, sizeof *s, "Mahalanobis"));
    s->mem = f->mem;
    *state = s;
    rc = within_fit(f, &s->w);
done:
    return rc;
}

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

/* Smallest distance of one whitened row; dot [k] are its products with the means.  Infinite when the
 * row is too far for f32. */
static double nearest(const whitening *w, const float *y, const float *dot)
{
    double yy = 0, least = INFINITY, best, margin;
    size_t first = 0;
    for (size_t j = 0; j < w->r; j++)
        yy += (double)y[j] * (double)y[j];
    if (!(yy < INFINITY)) return INFINITY;
    for (size_t k = 0; k < w->k; k++) {
        double v = w->norm[k] - 2 * (double)dot[k];
        if (v < least) {
            least = v;
            first = k;
        }
    }
    /* f32 products of length r: the error stays far below this */
    margin = 1e-5 * (yy + w->norm[first]);
    best = distance(y, w->mean + first * w->r, w->r);
    for (size_t k = 0; k < w->k; k++) {
        double v = yy + w->norm[k] - 2 * (double)dot[k];
        if (k == first || (v > best + margin && v < INFINITY)) continue;
        best = fmin(best, distance(y, w->mean + k * w->r, w->r));
    }
    return best;
}

/* y [n,r] = whitened rows, f32 products after centring. */
static int whiten(const whitening *w, const score_block *b, float *y)
{
    int rc = 0;
    size_t d = w->d;
    float *x;
    TRY(block_work(b, 0, b->cache->rows * d, &x));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = b->h[i * d + j] - w->centre[j];
    if (w->triangular) linalg_gemm_lower(b->n, d, x, w->a, y);
    else linalg_gemm_abt(b->n, w->r, d, x, d, w->a, d, 0, y, w->r);
done:
    return rc;
}

/* The same in f64, a tile of rows at a time. */
static int whiten_exactly(const whitening *w, const score_block *b, float *y)
{
    int rc = 0;
    size_t d = w->d, r = w->r;
    float *room;
    TRY(block_work(b, 0, 2 * LINALG_TILE_ROWS * (d + r), &room));
    double *x = (double *)(void *)room, *v = x + LINALG_TILE_ROWS * d;
    for (size_t i = 0; i < b->n; i += LINALG_TILE_ROWS) {
        size_t n = b->n - i < LINALG_TILE_ROWS ? b->n - i : LINALG_TILE_ROWS;
        for (size_t k = 0; k < n * d; k++)
            x[k] = (double)b->h[i * d + k] - (double)w->centre[k % d];
        linalg_dgemm_abt(n, r, d, x, d, w->exact, d, 0, v, r);
        for (size_t k = 0; k < n * r; k++)
            y[i * r + k] = (float)v[k];
    }
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const whitening *w = &((state_type *)state)->w;
    float *y, *dot;
    (void)p;
    TRY(block_work(b, 1, b->cache->rows * w->r, &y));
    TRY(block_work(b, 2, b->cache->rows * w->k, &dot));
    TRY(w->exact != NULL ? whiten_exactly(w, b, y) : whiten(w, b, y));
    linalg_gemm_abt(b->n, w->k, w->r, y, w->r, w->mean, w->r, 0, dot, w->k);
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)-(w->unit * nearest(w, y + i * w->r, dot + i * w->k));
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    within_clear(&s->w, s->mem);
    free(s);
    *state = NULL;
}

const method method_mahalanobis = {
    .name = "mahalanobis",
    .title = "Mahalanobis",
    .formula = "-min_k (h - m_k)' P (h - m_k), P = pinvh(1/N sum (x - m_y)(x - m_y)')",
    .paper = "Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
             "Adversarial Attacks, NeurIPS 2018, arXiv:1807.03888",
    .quirks =
        "penultimate feature only, true labels, divided by N; the published f32 scores on GPUs "
        "may have used TF32 (1e-3 relative)",
    .groups = "gen vim",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_SECOND | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = release,
};
