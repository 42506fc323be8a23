#include "score/stats/mixture.h"
#include "common/err.h"
#include "score/linalg.h"
#include "score/stats/draw.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { PARTS = 64 };

static double square(const double *a, const double *b, size_t q)
{
    double sum = 0;
    for (size_t j = 0; j < q; j++)
        sum += (a[j] - b[j]) * (a[j] - b[j]);
    return sum;
}

/* ---- k-means ----------------------------------------------------------------------------------- */

/* Centres drawn one by one with chances that grow as the squared distance to those there are. */
static int first_centres(mixture *m, const double *y, size_t n, uint64_t seed, budget *mem)
{
    int rc = 0;
    size_t q = m->q, at;
    double *least = NULL;
    draw r = draw_seeded(seed);
    TRY(budget_new(mem, &least, n, sizeof *least, "distances to centres"));
    at = (size_t)draw_below(&r, n);
    for (size_t k = 0; k < m->k; k++) {
        double total = 0, level;
        memcpy(m->mean + k * q, y + at * q, q * sizeof *y);
        for (size_t i = 0; i < n; i++) {
            double d = square(y + i * q, m->mean + k * q, q);
            least[i] = k == 0 || d < least[i] ? d : least[i];
            total += least[i];
        }
        level = (double)(draw_bits(&r) >> 11) / 9007199254740992.0 * total;
        for (at = 0; at + 1 < n && level >= least[at]; at++)
            level -= least[at];
    }
done:
    budget_free(mem, &least);
    return rc;
}

/* of [n] = the nearest centre, the first of equals; returns how many changed. */
static size_t assign(const mixture *m, const double *y, size_t n, uint32_t *of)
{
    size_t changed = 0;
#pragma omp parallel for reduction(+ : changed)
    for (size_t i = 0; i < n; i++) {
        size_t best = 0;
        double least = INFINITY;
        for (size_t k = 0; k < m->k; k++) {
            double d = square(y + i * m->q, m->mean + k * m->q, m->q);
            if (d < least) {
                least = d;
                best = k;
            }
        }
        changed += of[i] != best;
        of[i] = (uint32_t)best;
    }
    return changed;
}

/* A centre without rows stays. */
static void centres(mixture *m, const double *y, size_t n, const uint32_t *of, double *sum, size_t *count)
{
    size_t q = m->q;
    memset(sum, 0, m->k * q * sizeof *sum);
    memset(count, 0, m->k * sizeof *count);
    for (size_t i = 0; i < n; i++) {
        count[of[i]]++;
        for (size_t j = 0; j < q; j++)
            sum[of[i] * q + j] += y[i * q + j];
    }
    for (size_t k = 0; k < m->k; k++)
        for (size_t j = 0; j < q && count[k] > 0; j++)
            m->mean[k * q + j] = sum[k * q + j] / (double)count[k];
}

static int kmeans(mixture *m, const double *y, size_t n, uint64_t seed, uint32_t *of, budget *mem)
{
    int rc = 0;
    double *sum = NULL;
    size_t *count = NULL;
    TRY(budget_new(mem, &sum, m->k * m->q, sizeof *sum, "centres"));
    TRY(budget_new(mem, &count, m->k, sizeof *count, "centres"));
    TRY(first_centres(m, y, n, seed, mem));
    for (size_t i = 0; i < n; i++)
        of[i] = UINT32_MAX;
    for (int step = 0; step < KMEANS_STEPS && assign(m, y, n, of) > 0; step++)
        centres(m, y, n, of, sum, count);
done:
    budget_free(mem, &sum);
    budget_free(mem, &count);
    return rc;
}

/* ---- expectation and maximisation -------------------------------------------------------------- */

typedef struct em {
    const double *y;
    size_t n;
    double *total;  /* [q,q] sum of y y', lower */
    double *white;  /* [k,q] whitened means */
    double *part;   /* [PARTS][k (q + 1) + 1]: sums, counts, log likelihood */
    double *scratch; /* [4 q] */
    double log_det; /* of whiten */
} em;

static size_t part_size(const mixture *m)
{
    return m->k * (m->q + 1) + 1;
}

/* v = whiten y */
static void whitened(const mixture *m, const double *y, double *v)
{
    for (size_t i = 0; i < m->q; i++) {
        double sum = 0;
        for (size_t j = 0; j <= i; j++)
            sum += m->whiten[i * m->q + j] * y[j];
        v[i] = sum;
    }
}

/* Adds a row with share r_k of component k. */
static void add_share(const mixture *m, double *part, const double *y, size_t k, double r)
{
    double *sum = part + k * (m->q + 1);
    if (r == 0) return;
    for (size_t j = 0; j < m->q; j++)
        sum[j] += r * y[j];
    sum[m->q] += r;
}

static void expect_row(const mixture *m, const em *e, const double *y, double *v, double *r, double *part)
{
    double top = -INFINITY, sum = 0;
    whitened(m, y, v);
    for (size_t k = 0; k < m->k; k++) {
        r[k] = log(m->weight[k]) - 0.5 * square(v, e->white + k * m->q, m->q);
        top = fmax(top, r[k]);
    }
    for (size_t k = 0; k < m->k; k++)
        sum += exp(r[k] - top);
    for (size_t k = 0; k < m->k; k++)
        add_share(m, part, y, k, exp(r[k] - top) / sum);
    part[part_size(m) - 1] += top + log(sum);
}

/* Sums over all rows into part 0; of: shares 0 and 1 of k-means, or NULL: those of the mixture. */
static int expect(const mixture *m, em *e, const uint32_t *of, budget *mem)
{
    int rc = 0;
    size_t size = part_size(m), step = (e->n + PARTS - 1) / PARTS;
    double *room = NULL;
    TRY(budget_new(mem, &room, PARTS * (m->q + m->k), sizeof *room, "shares of components"));
    memset(e->part, 0, PARTS * size * sizeof *e->part);
    for (size_t k = 0; k < m->k && of == NULL; k++)
        whitened(m, m->mean + k * m->q, e->white + k * m->q);
#pragma omp parallel for
    for (size_t p = 0; p < PARTS; p++) {
        double *v = room + p * (m->q + m->k), *part = e->part + p * size;
        for (size_t i = p * step; i < e->n && i < (p + 1) * step; i++) {
            if (of != NULL) add_share(m, part, e->y + i * m->q, of[i], 1);
            else expect_row(m, e, e->y + i * m->q, v, v + m->q, part);
        }
    }
    for (size_t p = 1; p < PARTS; p++)
        for (size_t j = 0; j < size; j++)
            e->part[j] += e->part[p * size + j];
done:
    budget_free(mem, &room);
    return rc;
}

/* Means, weights and the whitening from part 0. */
static int maximise(mixture *m, em *e)
{
    int rc = 0;
    size_t q = m->q;
    double all = 0, rcond;
    memcpy(m->whiten, e->total, q * q * sizeof *m->whiten);
    for (size_t k = 0; k < m->k; k++) {
        const double *sum = e->part + k * (q + 1);
        double share = sum[q] + 10 * DBL_EPSILON;
        all += share;
        m->weight[k] = share / (double)e->n;
        for (size_t j = 0; j < q; j++)
            m->mean[k * q + j] = sum[j] / share;
        for (size_t i = 0; i < q; i++)
            for (size_t j = 0; j <= i; j++)
                m->whiten[i * q + j] -= share * m->mean[k * q + i] * m->mean[k * q + j];
    }
    for (size_t i = 0; i < q; i++)
        for (size_t j = 0; j < q; j++)
            m->whiten[i * q + j] = j > i ? 0 : m->whiten[i * q + j] / all + (i == j ? MIXTURE_RIDGE : 0);
    TRY(linalg_cholesky(q, m->whiten, &rcond, e->scratch));
    CHECK(rcond > 0, ERR_INTERNAL, "the covariance of a mixture has no factor");
    TRY(linalg_invert_lower(q, m->whiten));
    e->log_det = 0;
    for (size_t i = 0; i < q; i++)
        e->log_det += log(m->whiten[i * q + i]);
done:
    return rc;
}

static int iterate(mixture *m, em *e, budget *mem)
{
    int rc = 0;
    double before = -INFINITY;
    while (m->steps < MIXTURE_STEPS && !m->converged) {
        double gain;
        TRY(expect(m, e, NULL, mem));
        gain = e->part[part_size(m) - 1] / (double)e->n + e->log_det;
        TRY(maximise(m, e));
        m->steps++;
        m->converged = fabs(gain - before) < MIXTURE_TOLERANCE;
        before = gain;
    }
done:
    return rc;
}

int mixture_fit(mixture *m, const double *y, size_t n, size_t q, size_t k, uint64_t seed, budget *mem)
{
    int rc = 0;
    em e = {.y = y, .n = n};
    uint32_t *of = NULL;
    memset(m, 0, sizeof *m);
    m->k = k;
    m->q = q;
    TRY(budget_new(mem, &m->mean, k * q, sizeof *m->mean, "mixture"));
    TRY(budget_new(mem, &m->weight, k, sizeof *m->weight, "mixture"));
    TRY(budget_new(mem, &m->whiten, q * q, sizeof *m->whiten, "mixture"));
    TRY(budget_new(mem, &of, n, sizeof *of, "components of rows"));
    TRY(budget_zeroed(mem, &e.total, q * q, sizeof *e.total, "mixture"));
    TRY(budget_new(mem, &e.white, k * q, sizeof *e.white, "mixture"));
    TRY(budget_new(mem, &e.part, PARTS * part_size(m), sizeof *e.part, "sums of a mixture"));
    TRY(budget_new(mem, &e.scratch, 4 * q, sizeof *e.scratch, "mixture"));
    linalg_syrk(n, q, 1, y, e.total);
    TRY(kmeans(m, y, n, seed, of, mem));
    TRY(expect(m, &e, of, mem));
    TRY(maximise(m, &e));
    TRY(iterate(m, &e, mem));
done:
    budget_free(mem, &of);
    budget_free(mem, &e.total);
    budget_free(mem, &e.white);
    budget_free(mem, &e.part);
    budget_free(mem, &e.scratch);
    if (rc < 0) mixture_clear(m, mem);
    return rc;
}

void mixture_clear(mixture *m, budget *mem)
{
    budget_free(mem, &m->mean);
    budget_free(mem, &m->weight);
    budget_free(mem, &m->whiten);
}

double mixture_log(const mixture *m, const double *y)
{
    double top = -INFINITY, sum = 0;
    for (size_t k = 0; k < m->k; k++) {
        double d = 0, v;
        for (size_t i = 0; i < m->q; i++) {
            double t = 0;
            for (size_t j = 0; j <= i; j++)
                t += m->whiten[i * m->q + j] * (y[j] - m->mean[k * m->q + j]);
            d += t * t;
        }
        v = log(m->weight[k]) - 0.5 * d;
        sum = v > top ? sum * exp(top - v) + 1 : sum + exp(v - top);
        top = fmax(top, v);
    }
    return top + log(sum);
}
