#include "score/uncertainty.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#define Z95 1.959963984540054 /* 0.975 quantile of the normal distribution */

/* ---- DeLong ----------------------------------------------------------------------------------- */

static double half_share(size_t below, size_t equal, size_t n)
{
    return ((double)below + (double)equal / 2) / (double)n;
}

/* One walk over both sorted sets.  add(arg, first, count, v, which): `count` scores from place
 * `first` on of the ID (which 0) or OOD (1) set have the share v. */
typedef void (*share_fn)(void *arg, size_t first, size_t count, double v, int which);

static void each_share(const score_set *id, const score_set *ood, share_fn add, void *arg)
{
    for (size_t i = 0, j = 0; i < id->n || j < ood->n;) {
        uint32_t key =
            i < id->n && (j == ood->n || id->key[i] < ood->key[j]) ? id->key[i] : ood->key[j];
        size_t p = i, q = j;
        while (p < id->n && id->key[p] == key)
            p++;
        while (q < ood->n && ood->key[q] == key)
            q++;
        if (p > i) add(arg, i, p - i, half_share(j, q - j, ood->n), 0);
        if (q > j) add(arg, j, q - j, half_share(id->n - p, p - i, id->n), 1);
        i = p;
        j = q;
    }
}

typedef struct share_sums { /* the mean first, then squares about it: nothing cancels */
    double mean, square[2];
} share_sums;

static void add_mean(void *arg, size_t first, size_t count, double v, int which)
{
    (void)first;
    if (which == 0) ((share_sums *)arg)->mean += (double)count * v;
}

static void add_square(void *arg, size_t first, size_t count, double v, int which)
{
    share_sums *s = arg;
    (void)first;
    s->square[which] += (double)count * (v - s->mean) * (v - s->mean);
}

static double over_pairs(double sum, size_t n)
{
    return n > 1 ? sum / ((double)(n - 1) * (double)n) : NAN;
}

double auroc_variance(const score_set *id, const score_set *ood)
{
    share_sums s = {0};
    each_share(id, ood, add_mean, &s);
    s.mean /= (double)id->n;
    each_share(id, ood, add_square, &s);
    return over_pairs(s.square[0], id->n) + over_pairs(s.square[1], ood->n);
}

typedef struct mean_shares { /* of each ID score, summed over the sets; of the OOD scores in turn */
    double *v;
    double ood_mean, ood_square;
    int pass;
} mean_shares;

static void add_to_mean(void *arg, size_t first, size_t count, double v, int which)
{
    mean_shares *s = arg;
    if (which == 0) {
        for (size_t i = 0; s->pass == 0 && i < count; i++)
            s->v[first + i] += v;
    } else if (s->pass == 0) {
        s->ood_mean += (double)count * v;
    } else {
        s->ood_square += (double)count * (v - s->ood_mean) * (v - s->ood_mean);
    }
}

int auroc_variance_of_mean(double *variance, const score_set *id, const score_set *ood,
                           size_t n_sets)
{
    int rc = 0;
    mean_shares s = {0};
    double mean = 0, square = 0, of_sets = 0, sets = (double)n_sets;
    TRY(mem_new(&s.v, id->n, sizeof *s.v, "interval of a mean"));
    for (size_t k = 0; k < n_sets; k++) {
        s.ood_mean = s.ood_square = 0;
        s.pass = 0;
        each_share(id, &ood[k], add_to_mean, &s);
        s.ood_mean /= (double)ood[k].n;
        s.pass = 1;
        each_share(id, &ood[k], add_to_mean, &s);
        of_sets += over_pairs(s.ood_square, ood[k].n);
    }
    for (size_t i = 0; i < id->n; i++)
        mean += s.v[i] / sets / (double)id->n;
    for (size_t i = 0; i < id->n; i++)
        square += (s.v[i] / sets - mean) * (s.v[i] / sets - mean);
    *variance = over_pairs(square, id->n) + of_sets / (sets * sets);
done:
    free(s.v);
    return rc;
}

interval auroc_interval(double auroc, double variance)
{
    double half = Z95 * sqrt(variance);
    interval i = {auroc - half, auroc + half};
    if (i.lo < 0) i.lo = 0;
    if (i.hi > 1) i.hi = 1;
    return i;
}

/* ---- bootstrap -------------------------------------------------------------------------------- */

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

typedef struct merged { /* the distinct scores of both sets, ascending */
    size_t groups;
    uint8_t *joined;          /* [groups] */
    uint32_t *of_id, *of_ood; /* which group the i-th smallest score of a set is in */
} merged;

static void merged_clear(merged *m)
{
    free(m->joined);
    free(m->of_id);
    free(m->of_ood);
}

static int merge(merged *m, const score_set *id, const score_set *ood)
{
    int rc = 0;
    float before = 0;
    size_t i = 0, j = 0;
    TRY(mem_new(&m->joined, id->n + ood->n, sizeof *m->joined, "bootstrap"));
    TRY(mem_new(&m->of_id, id->n, sizeof *m->of_id, "bootstrap"));
    TRY(mem_new(&m->of_ood, ood->n, sizeof *m->of_ood, "bootstrap"));
    CHECK(id->n + ood->n < UINT32_MAX, ERR_INPUT, "%zu scores are too many for the bootstrap",
          id->n + ood->n);
    for (; i < id->n || j < ood->n; m->groups++) {
        uint32_t key =
            i < id->n && (j == ood->n || id->key[i] < ood->key[j]) ? id->key[i] : ood->key[j];
        float v = score_of_key(key);
        m->joined[m->groups] = m->groups > 0 && 1.0f - v == 1.0f - before;
        before = v;
        for (; i < id->n && id->key[i] == key; i++)
            m->of_id[i] = (uint32_t)m->groups;
        for (; j < ood->n && ood->key[j] == key; j++)
            m->of_ood[j] = (uint32_t)m->groups;
    }
done:
    return rc;
}

__extension__ typedef unsigned __int128 wide;

static void draw(uint64_t *state, const uint32_t *of, size_t n, uint32_t *count)
{
    uint64_t s = *state;
    for (size_t k = 0; k < n; k++) {
        s += GOLDEN;
        count[of[(size_t)(((wide)mix(s) * n) >> 64)]]++;
    }
    *state = s;
}

/* From the smallest score up: what has a place in the ascending order. */
static void ascending(metrics *m, const uint32_t *p, const uint32_t *q, const uint8_t *joined,
                      size_t groups, size_t n_id, size_t n_ood)
{
    size_t below_p = 0, below_q = 0, rest = n_id % 20;
    size_t vim = n_id / 20 + (rest != 0), react = n_id / 20, openood = n_ood - n_ood / 20;
    size_t out_p = 0, out_q = 0; /* the group of 1 - s that is being gathered */
    uint64_t twice = 0;
    double before = 1, steps = 0, trapezoid = 0, last;
    if (n_id == 1) vim = 0;
    react += rest > 10 || (rest == 10 && react % 2 == 1);
    for (size_t g = 0; g < groups; g++) {
        size_t i = below_p + p[g], j = below_q + q[g];
        if (!joined[g] && out_p + out_q > 0) { /* before this group: OOD positive, 1 - s */
            double precision = (double)below_q / (double)(below_p + below_q);
            trapezoid += (double)out_q * (precision + before) / 2;
            before = precision;
            out_p = out_q = 0;
        }
        out_p += p[g];
        out_q += q[g];
        twice += (uint64_t)p[g] * (2 * (uint64_t)below_q + q[g]);
        if (below_p <= vim && vim < i) m->fpr95_vim = (double)(n_ood - below_q) / (double)n_ood;
        if (below_p <= react && react < i) m->fpr95_react = (double)(n_ood - j) / (double)n_ood;
        if (below_q < openood && openood <= j) m->fpr95_openood = (double)i / (double)n_id;
        if (q[g] > 0) steps += (double)q[g] * ((double)j / (double)(i + j));
        below_p = i;
        below_q = j;
    }
    last = (double)n_ood / (double)(n_id + n_ood);
    trapezoid += (double)out_q * (last + before) / 2;
    m->auroc = (double)twice / (2.0 * (double)n_id * (double)n_ood);
    m->aupr_out = trapezoid / (double)n_ood;
    m->ap_out = steps / (double)n_ood;
}

static void descending(metrics *m, const uint32_t *p, const uint32_t *q, size_t groups, size_t n_id,
                       size_t n_ood)
{
    size_t i = 0, j = 0, accepted = 0;
    double before = 1, trapezoid = 0, steps = 0, nearest = INFINITY;
    for (size_t g = groups; g-- > 0;) {
        double precision, far;
        int searching = i < n_id;
        if (p[g] + q[g] == 0) continue;
        i += p[g];
        j += q[g];
        precision = (double)i / (double)(i + j);
        trapezoid += (double)p[g] * (precision + before) / 2;
        steps += (double)p[g] * precision;
        before = precision;
        far = fabs((double)i / (double)n_id - 0.95);
        if (!searching || far > nearest) continue;
        nearest = far;
        accepted = j;
    }
    m->fpr95_mos = (double)accepted / (double)n_ood;
    m->aupr_in = trapezoid / (double)n_id;
    m->ap_in = steps / (double)n_id;
}

void metrics_of_counts(metrics *m, const uint32_t *p, const uint32_t *q, const uint8_t *joined,
                       size_t groups)
{
    size_t n_id = 0, n_ood = 0;
    for (size_t g = 0; g < groups; g++) {
        n_id += p[g];
        n_ood += q[g];
    }
    ascending(m, p, q, joined, groups, n_id, n_ood);
    descending(m, p, q, groups, n_id, n_ood);
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double percentile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1), t = at - floor(at);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (sorted[i + 1] - sorted[i]) * t : sorted[i];
}

int metrics_bootstrap(interval *ci, const score_set *id, const score_set *ood, size_t replicates,
                      uint64_t seed)
{
    int rc = 0;
    merged g = {0};
    uint32_t *counts = NULL;
    double *value = NULL; /* [METRIC_COUNT, replicates] */
    size_t threads = (size_t)omp_get_max_threads(), each;
    CHECK(id->n > 0 && ood->n > 0, ERR_INPUT, "metrics of an empty set are undefined");
    TRY(merge(&g, id, ood));
    each = 2 * g.groups;
    TRY(mem_new_aligned(&counts, threads * each, sizeof *counts, "bootstrap"));
    TRY(mem_new(&value, METRIC_COUNT * replicates, sizeof *value, "bootstrap"));
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < replicates; r++) {
        uint32_t *p = counts + each * (size_t)omp_get_thread_num(), *q = p + g.groups;
        uint64_t state = mix(seed + mix(r + GOLDEN));
        metrics m;
        memset(p, 0, each * sizeof *p);
        draw(&state, g.of_id, id->n, p);
        draw(&state, g.of_ood, ood->n, q);
        metrics_of_counts(&m, p, q, g.joined, g.groups);
        for (size_t k = 0; k < METRIC_COUNT; k++)
            value[k * replicates + r] = metric_value(&m, &metric_fields[k]);
    }
    for (size_t k = 0; k < METRIC_COUNT; k++) {
        double *v = value + k * replicates;
        qsort(v, replicates, sizeof *v, compare);
        ci[k] = (interval){percentile(v, replicates, 0.025), percentile(v, replicates, 0.975)};
    }
done:
    merged_clear(&g);
    free(counts);
    free(value);
    return rc;
}

/* ---- two scores of the same images -------------------------------------------------------------- */

typedef struct ranked { /* a score and where it stood */
    float v;
    uint32_t at;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->v != y->v) return x->v < y->v ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* v [n]: share of each ID score, w [m]: of each OOD score, in the order of the images; the AUROC, rounded
 * once as in metrics.c. */
static int shares_by_image(const float *id, size_t n, const float *ood, size_t m, double *v,
                           double *w, double *auroc)
{
    int rc = 0;
    ranked *a = NULL, *b = NULL;
    size_t first;
    uint64_t twice = 0, pairs;
    CHECK(!__builtin_mul_overflow((uint64_t)n, 2 * (uint64_t)m, &pairs), ERR_INPUT,
          "%zu x %zu scores are too many pairs to count", n, m);
    CHECK(n > 0 && m > 0, ERR_INPUT, "metrics of an empty set are undefined");
    CHECK(scores_nonfinite(id, n, &first) == 0 && scores_nonfinite(ood, m, &first) == 0, ERR_INPUT,
          "scores are NaN or infinite, the first in row %zu", first);
    TRY(mem_new(&a, n, sizeof *a, "test"));
    TRY(mem_new(&b, m, sizeof *b, "test"));
    for (size_t i = 0; i < n; i++)
        a[i] = (ranked){id[i], (uint32_t)i};
    for (size_t j = 0; j < m; j++)
        b[j] = (ranked){ood[j], (uint32_t)j};
    qsort(a, n, sizeof *a, by_score);
    qsort(b, m, sizeof *b, by_score);
    for (size_t i = 0, j = 0; i < n || j < m;) {
        float key = i < n && (j == m || a[i].v < b[j].v) ? a[i].v : b[j].v;
        size_t p = i, q = j;
        while (p < n && a[p].v == key)
            p++;
        while (q < m && b[q].v == key)
            q++;
        twice += (uint64_t)(p - i) * (2 * (uint64_t)j + (uint64_t)(q - j));
        for (size_t k = i; k < p; k++)
            v[a[k].at] = half_share(j, q - j, m);
        for (size_t k = j; k < q; k++)
            w[b[k].at] = half_share(n - p, p - i, n);
        i = p;
        j = q;
    }
    *auroc = (double)twice / (2.0 * (double)n * (double)m);
done:
    free(a);
    free(b);
    return rc;
}

static double mean_of(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum / (double)n;
}

/* Sum of squares of a - b about its mean, over n (n - 1). */
static double variance_of(const double *a, const double *b, size_t n)
{
    double mean = mean_of(a, n) - mean_of(b, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (a[i] - b[i] - mean) * (a[i] - b[i] - mean);
    return over_pairs(sum, n);
}

int auroc_test_paired(paired_test *t, const float *id_a, const float *id_b, size_t n_id,
                      const float *ood_a, const float *ood_b, size_t n_ood)
{
    int rc = 0;
    double *room = NULL, *va, *vb, *wa, *wb, d, half;
    TRY(mem_new(&room, 2 * (n_id + n_ood), sizeof *room, "test"));
    va = room;
    vb = va + n_id;
    wa = vb + n_id;
    wb = wa + n_ood;
    TRY(shares_by_image(id_a, n_id, ood_a, n_ood, va, wa, &t->a));
    TRY(shares_by_image(id_b, n_id, ood_b, n_ood, vb, wb, &t->b));
    t->variance = variance_of(va, vb, n_id) + variance_of(wa, wb, n_ood);
    d = t->a - t->b;
    half = Z95 * sqrt(t->variance);
    t->difference = (interval){d - half, d + half};
    t->z = d == 0 && !(t->variance > 0) ? 0 : d / sqrt(t->variance);
    if (isnan(t->variance)) t->z = NAN;
    t->p = erfc(fabs(t->z) / sqrt(2.0));
done:
    free(room);
    return rc;
}
