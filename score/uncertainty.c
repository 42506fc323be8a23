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
    uint32_t *chain;          /* [groups] */
    uint32_t *of_id, *of_ood; /* which group the i-th smallest score of a set is in */
} merged;

static void merged_clear(merged *m)
{
    free(m->chain);
    free(m->of_id);
    free(m->of_ood);
}

static int merge(merged *m, const score_set *id, const score_set *ood)
{
    int rc = 0;
    float before = 0;
    uint32_t chain = 0;
    size_t i = 0, j = 0;
    TRY(mem_new(&m->chain, id->n + ood->n, sizeof *m->chain, "bootstrap"));
    TRY(mem_new(&m->of_id, id->n, sizeof *m->of_id, "bootstrap"));
    TRY(mem_new(&m->of_ood, ood->n, sizeof *m->of_ood, "bootstrap"));
    CHECK(id->n + ood->n < UINT32_MAX, ERR_INPUT, "%zu scores are too many for the bootstrap",
          id->n + ood->n);
    for (; i < id->n || j < ood->n; m->groups++) {
        uint32_t key =
            i < id->n && (j == ood->n || id->key[i] < ood->key[j]) ? id->key[i] : ood->key[j];
        float v = score_of_key(key);
        chain += m->groups > 0 && 1.0f - v != 1.0f - before;
        m->chain[m->groups] = chain;
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

/* The groups that were drawn, ascending, with counts up to each of them. */
typedef struct drawn {
    size_t n, n_id, n_ood;
    int apart;                     /* no two of them are of one chain */
    const uint32_t *p, *q, *chain; /* [n] */
    const double *i, *j;           /* [n] ID and OOD scores up to and with the group */
} drawn;

/* Squeezes what was not drawn out of p, q and chain; room [2 groups]. */
static drawn squeeze(uint32_t *p, uint32_t *q, uint32_t *chain, size_t groups, double *room)
{
    double *up_i = room, *up_j = room + groups;
    size_t n = 0;
    uint64_t i = 0, j = 0;
    int apart = 1;
    for (size_t g = 0; g < groups; g++) {
        uint32_t c = chain[g];
        size_t drawn_here = (p[g] | q[g]) != 0; /* before what follows writes there */
        i += p[g];
        j += q[g];
        p[n] = p[g];
        q[n] = q[g];
        chain[n] = c;
        up_i[n] = (double)i;
        up_j[n] = (double)j;
        n += drawn_here;
    }
    for (size_t g = 1; g < n; g++)
        apart &= chain[g] != chain[g - 1];
    return (drawn){n, (size_t)i, (size_t)j, apart, p, q, chain, up_i, up_j};
}

/* The first group with up[k] > rank. */
static size_t place(const double *up, size_t n, size_t rank)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (up[mid] > (double)rank) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

static double auroc_of(const drawn *d)
{
    uint64_t twice = 0;
    for (size_t k = 0; k < d->n; k++)
        twice += (uint64_t)d->p[k] * (2 * (uint64_t)d->j[k] - d->q[k]);
    return (double)twice / (2.0 * (double)d->n_id * (double)d->n_ood);
}

/* ID scores at or above a group; falls as the groups rise. */
static double accepted_id(const drawn *d, size_t k)
{
    return (double)d->n_id - d->i[k] + (double)d->p[k];
}

static double accepted_ood(const drawn *d, size_t k)
{
    return (double)d->n_ood - d->j[k] + (double)d->q[k];
}

/* The recalls on both sides of 0.95 are the only ones that can be the nearest. */
static double fpr95_mos_of(const drawn *d)
{
    size_t lo = 0, hi = d->n - 1;
    double n = (double)d->n_id, above, under;
    while (lo < hi) { /* the highest group with recall 0.95 or more */
        size_t mid = lo + (hi - lo + 1) / 2;
        if (accepted_id(d, mid) / n >= 0.95) lo = mid;
        else hi = mid - 1;
    }
    above = fabs(accepted_id(d, lo) / n - 0.95);
    under = lo + 1 < d->n ? fabs(accepted_id(d, lo + 1) / n - 0.95) : INFINITY;
    if (under < above) return accepted_ood(d, lo + 1) / (double)d->n_ood;
    /* of one recall the lowest threshold, but nothing below full recall */
    while (accepted_id(d, lo) < n && d->p[lo - 1] == 0)
        lo--;
    return accepted_ood(d, lo) / (double)d->n_ood;
}

static void fpr95_of(metrics *m, const drawn *d)
{
    size_t n = d->n_id, vim = n / 20 + (n % 20 != 0), react = n / 20, openood, k;
    if (n == 1) vim = 0;
    react += n % 20 > 10 || (n % 20 == 10 && react % 2 == 1);
    openood = d->n_ood - d->n_ood / 20 - 1;
    m->fpr95_vim = accepted_ood(d, place(d->i, d->n, vim)) / (double)d->n_ood;
    k = place(d->i, d->n, react);
    m->fpr95_react = ((double)d->n_ood - d->j[k]) / (double)d->n_ood;
    m->fpr95_openood = d->i[place(d->j, d->n, openood)] / (double)n;
    m->fpr95_mos = fpr95_mos_of(d);
}

/* ID positive, from the largest score down; precision [n + 1]. */
static void areas_in(metrics *m, const drawn *d, double *precision)
{
    double trapezoid = 0, steps = 0, n = (double)d->n_id, all = n + (double)d->n_ood;
#pragma omp simd
    for (size_t k = 0; k < d->n; k++) {
        double i = n - d->i[k] + (double)d->p[k];
        precision[k] = i / (all - d->i[k] - d->j[k] + (double)d->p[k] + (double)d->q[k]);
    }
    precision[d->n] = 1;
#pragma omp simd reduction(+ : trapezoid, steps)
    for (size_t k = 0; k < d->n; k++) {
        trapezoid += (double)d->p[k] * (precision[k] + precision[k + 1]);
        steps += (double)d->p[k] * precision[k];
    }
    m->aupr_in = trapezoid / 2 / n;
    m->ap_in = steps / n;
}

/* OOD positive, from the smallest score up; a chain counts as one score in the trapezoids. */
static void areas_out(metrics *m, const drawn *d, double *precision)
{
    double trapezoid = 0, steps = 0, before = 1, width = 0;
#pragma omp simd
    for (size_t k = 0; k < d->n; k++)
        precision[k + 1] = d->j[k] / (d->i[k] + d->j[k]);
    precision[0] = 1;
#pragma omp simd reduction(+ : trapezoid, steps)
    for (size_t k = 0; k < d->n; k++) {
        trapezoid += (double)d->q[k] * (precision[k + 1] + precision[k]);
        steps += (double)d->q[k] * precision[k + 1];
    }
    m->ap_out = steps / (double)d->n_ood;
    for (size_t k = 0; k < d->n && !d->apart; k++) {
        if (k == 0) trapezoid = 0;
        width += d->q[k];
        if (k + 1 < d->n && d->chain[k + 1] == d->chain[k]) continue;
        trapezoid += width * (precision[k + 1] + before);
        before = precision[k + 1];
        width = 0;
    }
    m->aupr_out = trapezoid / 2 / (double)d->n_ood;
}

void metrics_of_counts(metrics *m, uint32_t *p, uint32_t *q, uint32_t *chain, size_t groups,
                       double *room)
{
    drawn d = squeeze(p, q, chain, groups, room);
    m->auroc = auroc_of(&d);
    fpr95_of(m, &d);
    areas_in(m, &d, room + 2 * groups);
    areas_out(m, &d, room + 2 * groups);
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
    double *room = NULL;
    size_t threads = (size_t)omp_get_max_threads(), each;
    CHECK(id->n > 0 && ood->n > 0, ERR_INPUT, "metrics of an empty set are undefined");
    TRY(merge(&g, id, ood));
    each = g.groups;
    TRY(mem_new_aligned(&counts, threads * 3 * each, sizeof *counts, "bootstrap"));
    TRY(mem_new_aligned(&room, threads * (3 * each + 1), sizeof *room, "bootstrap"));
    TRY(mem_new(&value, METRIC_COUNT * replicates, sizeof *value, "bootstrap"));
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < replicates; r++) {
        size_t t = (size_t)omp_get_thread_num();
        uint32_t *p = counts + 3 * each * t, *q = p + each, *chain = q + each;
        uint64_t state = mix(seed + mix(r + GOLDEN));
        metrics m;
        memset(p, 0, 2 * each * sizeof *p);
        memcpy(chain, g.chain, each * sizeof *chain);
        draw(&state, g.of_id, id->n, p);
        draw(&state, g.of_ood, ood->n, q);
        metrics_of_counts(&m, p, q, chain, each, room + (3 * each + 1) * t);
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
    free(room);
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
