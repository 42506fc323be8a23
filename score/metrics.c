#include "score/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

const metric_field metric_fields[] = {
    { "auroc", "AUROC", offsetof(metrics, auroc), 1 },
    { "fpr95_vim", "FPR95 vim", offsetof(metrics, fpr95_vim), 0 },
    { "fpr95_mos", "FPR95 mos", offsetof(metrics, fpr95_mos), 0 },
    { "fpr95_react", "FPR95 react", offsetof(metrics, fpr95_react), 0 },
    { "fpr95_openood", "FPR95 openood", offsetof(metrics, fpr95_openood), 0 },
    { "aupr_in", "AUPR-in", offsetof(metrics, aupr_in), 1 },
    { "aupr_out", "AUPR-out", offsetof(metrics, aupr_out), 1 },
    { "ap_in", "AP-in", offsetof(metrics, ap_in), 1 },
    { "ap_out", "AP-out", offsetof(metrics, ap_out), 1 },
    { NULL, NULL, 0, 0 },
};

_Static_assert(sizeof metric_fields / sizeof *metric_fields == METRIC_COUNT + 1, "METRIC_COUNT");

const metric_field *metric_field_find(const char *name)
{
    for (const metric_field *f = metric_fields; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

double metric_value(const metrics *m, const metric_field *f)
{
    double v;
    memcpy(&v, (const char *)m + f->at, sizeof v);
    return v;
}

void metrics_of_values(metrics *m, const double *v)
{
    for (size_t k = 0; k < METRIC_COUNT; k++)
        memcpy((char *)m + metric_fields[k].at, &v[k], sizeof *v);
}

/* ---- sorted keys ------------------------------------------------------------------------------ */

#define SIGN UINT32_C(0x80000000)

/* Unsigned order of keys = order of the floats; both zeros get one key. */
static uint32_t key_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    if (u == SIGN) u = 0;
    return u & SIGN ? ~u : u | SIGN;
}

float score_of_key(uint32_t key)
{
    uint32_t u = key & SIGN ? key & ~SIGN : ~key;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* Least significant digit first, 11 bits at a time; `other` has room for n. */
static void radix_sort(uint32_t *key, uint32_t *other, size_t n)
{
    enum { BITS = 11, DIGITS = 1 << BITS, PASSES = 3 };
    size_t count[PASSES][DIGITS] = { { 0 } };
    uint32_t *from = key, *to = other;
    for (size_t i = 0; i < n; i++)
        for (int p = 0; p < PASSES; p++)
            count[p][key[i] >> (p * BITS) & (DIGITS - 1)]++;
    for (int p = 0; p < PASSES; p++) {
        size_t at = 0;
        uint32_t *swap = from;
        for (int k = 0; k < DIGITS; k++) {
            size_t c = count[p][k];
            count[p][k] = at;
            at += c;
        }
        for (size_t i = 0; i < n; i++)
            to[count[p][from[i] >> (p * BITS) & (DIGITS - 1)]++] = from[i];
        from = to;
        to = swap;
    }
    memcpy(key, from, n * sizeof *key); /* three passes end in `other` */
}

size_t scores_nonfinite(const float *v, size_t n, size_t *first)
{
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(v[i])) continue;
        if (bad++ == 0) *first = i;
    }
    return bad;
}

int score_set_init(score_set *s, const float *v, size_t n, const char *what)
{
    int rc = 0;
    size_t first = 0, bad;
    uint32_t *key = NULL, *other = NULL;
    CHECK(n > 0, ERR_INPUT, "%s: no scores, the metrics are undefined", what);
    bad = scores_nonfinite(v, n, &first);
    CHECK(bad == 0, ERR_INPUT, "%s: %zu of %zu scores are NaN or infinite, the first in row %zu",
          what, bad, n, first);
    TRY(mem_new_aligned(&key, n, sizeof *key, what));
    TRY(mem_new_aligned(&other, n, sizeof *other, what));
    for (size_t i = 0; i < n; i++)
        key[i] = key_of(v[i]);
    radix_sort(key, other, n);
    s->n = n;
    s->key = key;
    key = NULL;
done:
    free(key);
    free(other);
    return rc;
}

void score_set_clear(score_set *s)
{
    free(s->key);
    memset(s, 0, sizeof *s);
}

/* Number of keys below `key` (or up to it, with `through`). */
static size_t count_below(const score_set *s, uint32_t key, int through)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->key[mid] < key || (through && s->key[mid] == key)) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* ---- walking both sets, one group of ties at a time ------------------------------------------- */

typedef struct walk {
    const score_set *pos, *neg; /* the positive class first */
    size_t i, j;                /* taken so far from each end */
    int up;                     /* from the smallest score up, else from the largest down */
    int flip;                   /* ties are those of 1 - s in f32 (up only) */
} walk;

static uint32_t walk_key(const walk *w, const score_set *s, size_t taken)
{
    return s->key[w->up ? taken : s->n - 1 - taken];
}

static int same(const walk *w, uint32_t a, uint32_t b)
{
    return a == b || (w->flip && 1.0f - score_of_key(a) == 1.0f - score_of_key(b));
}

/* Takes the next group; *p and *n are how many of it are positive and negative. */
static int walk_next(walk *w, size_t *p, size_t *n)
{
    size_t i = w->i, j = w->j;
    uint32_t head;
    if (i == w->pos->n && j == w->neg->n) return 0;
    if (i == w->pos->n) {
        head = walk_key(w, w->neg, j);
    } else {
        head = walk_key(w, w->pos, i);
        if (j < w->neg->n) {
            uint32_t k = walk_key(w, w->neg, j);
            if (w->up ? k < head : k > head) head = k;
        }
    }
    while (i < w->pos->n && same(w, walk_key(w, w->pos, i), head))
        i++;
    while (j < w->neg->n && same(w, walk_key(w, w->neg, j), head))
        j++;
    *p = i - w->i;
    *n = j - w->j;
    w->i = i;
    w->j = j;
    return 1;
}

/* ---- the metrics ------------------------------------------------------------------------------ */

static double auroc(const score_set *id, const score_set *ood)
{
    walk w = { .pos = id, .neg = ood, .up = 1 };
    size_t p, n;
    uint64_t twice = 0; /* pairs won, a tie half: 2 n_id n_ood was checked to fit */
    while (walk_next(&w, &p, &n))
        twice += (uint64_t)p * (2 * (uint64_t)(w.j - n) + n);
    return (double)twice / (2.0 * (double)id->n * (double)ood->n);
}

static double fpr95_vim(const score_set *id, const score_set *ood)
{
    size_t k = id->n - id->n / 20 - (id->n % 20 != 0); /* floor(0.95 n) */
    if (k == 0) k = 1;
    return (double)(ood->n - count_below(ood, id->key[id->n - k], 0)) / (double)ood->n;
}

static double fpr95_mos(const score_set *id, const score_set *ood)
{
    walk w = { .pos = id, .neg = ood };
    size_t p, n, accepted = 0;
    double nearest = INFINITY;
    while (w.i < id->n && walk_next(&w, &p, &n)) {
        double d = fabs((double)w.i / (double)id->n - 0.95);
        if (d > nearest) continue;
        nearest = d;
        accepted = w.j;
    }
    return (double)accepted / (double)ood->n;
}

static double fpr95_react(const score_set *id, const score_set *ood)
{
    size_t at = id->n / 20, rest = id->n % 20;
    at += rest > 10 || (rest == 10 && at % 2 == 1); /* n / 20, half to even */
    return (double)(ood->n - count_below(ood, id->key[at], 1)) / (double)ood->n;
}

static double fpr95_openood(const score_set *id, const score_set *ood)
{
    size_t k = ood->n - ood->n / 20; /* ceil(0.95 n) */
    return (double)count_below(id, ood->key[k - 1], 1) / (double)id->n;
}

/* Neumaier's compensated sum: long curves add up to the last digits in any case. */
typedef struct total {
    double sum, lost;
} total;

static void add(total *t, double v)
{
    double s = t->sum + v;
    t->lost += fabs(t->sum) >= fabs(v) ? (t->sum - s) + v : (v - s) + t->sum;
    t->sum = s;
}

/* Area under precision over recall of w->pos: by trapezoids from (0, 1), or by steps. */
static double pr_area(walk w, int steps)
{
    total t = { 0 };
    size_t p, n;
    double before = 1.0;
    while (walk_next(&w, &p, &n)) {
        double precision = (double)w.i / (double)(w.i + w.j);
        add(&t, (double)p * (steps ? precision : (precision + before) / 2));
        before = precision;
    }
    return (t.sum + t.lost) / (double)w.pos->n;
}

int metrics_compute(metrics *m, const score_set *id, const score_set *ood)
{
    int rc = 0;
    uint64_t pairs;
    CHECK(id->n > 0 && ood->n > 0, ERR_INPUT, "metrics of an empty set are undefined");
    CHECK(!__builtin_mul_overflow((uint64_t)id->n, 2 * (uint64_t)ood->n, &pairs), ERR_INPUT,
          "%zu x %zu scores are too many pairs to count", id->n, ood->n);
    m->auroc = auroc(id, ood);
    m->fpr95_vim = fpr95_vim(id, ood);
    m->fpr95_mos = fpr95_mos(id, ood);
    m->fpr95_react = fpr95_react(id, ood);
    m->fpr95_openood = fpr95_openood(id, ood);
    m->aupr_in = pr_area((walk){ .pos = id, .neg = ood }, 0);
    m->aupr_out = pr_area((walk){ .pos = ood, .neg = id, .up = 1, .flip = 1 }, 0);
    m->ap_in = pr_area((walk){ .pos = id, .neg = ood }, 1);
    m->ap_out = pr_area((walk){ .pos = ood, .neg = id, .up = 1 }, 1);
done:
    return rc;
}
