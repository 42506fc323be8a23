/* OpenMax, in logit space, as OpenOOD has it.  Bendale and Boult, CVPR 2016, arXiv:1511.06233.
 *   m_c = mean logits of the train rows of class c that are predicted as c, w_c = Weibull of the `tail`
 *   largest |z_i - m_c| among them (score/stats/weibull.h)
 *   the `alpha` largest logits, ranks r = 0..alpha-1: z'_c = z_c (1 - w_c(|z - m_c|) (alpha - r) / alpha)
 *   u = sum (z_c - z'_c), P = exp(u) / (sum_c exp(z'_c) + exp(u))
 * Published is -P in f64.  In f32 it would be -1 for most images far out; its log odds order the rows alike
 * and lose nothing: S = log sum_c exp(z'_c) - u. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/rowmath.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"
#include "score/stats/weibull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALPHA_MAX = 64 };

typedef struct state_type {
    double *mean; /* [c,c] */
    weibull *w;   /* [c] */
    size_t c, alpha, ranks; /* ranks: alpha, or fewer when there are fewer classes */
    budget *mem;
} state_type;

typedef struct tails { /* the largest distances of each class, unordered */
    const state_type *s;
    size_t most;
    double *v;     /* [c,most] */
    size_t *count; /* [c] */
    double distance[TRAIN_ROWS];
} tails;

static double distance(const float *z, const double *mean, size_t c)
{
    double sum = 0;
    for (size_t k = 0; k < c; k++)
        sum += ((double)z[k] - mean[k]) * ((double)z[k] - mean[k]);
    return sqrt(sum);
}

static void keep_largest(tails *t, size_t class, double v)
{
    double *at = t->v + class * t->most;
    size_t least = 0;
    if (t->count[class] < t->most) {
        at[t->count[class]++] = v;
        return;
    }
    for (size_t i = 1; i < t->most; i++)
        if (at[i] < at[least]) least = i;
    if (v > at[least]) at[least] = v;
}

static int add(void *arg, const score_block *b)
{
    tails *t = arg;
    const int64_t *labels = b->set->labels + b->row;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        size_t y = b->sums[i].argmax;
        t->distance[i] = labels[i] == (int64_t)y ? distance(b->z + i * b->c, t->s->mean + y * b->c, b->c)
                                                 : -1;
    }
    for (size_t i = 0; i < b->n; i++)
        if (t->distance[i] >= 0) keep_largest(t, b->sums[i].argmax, t->distance[i]);
    return 0;
}

static int fit_tails(fit_context *f, state_type *s, size_t most)
{
    int rc = 0;
    tails *t = NULL;
    TRY(mem_new(&t, 1, sizeof *t, "tails"));
    t->s = s;
    t->most = most;
    TRY(budget_new(f->mem, &t->v, s->c * most, sizeof *t->v, "tails"));
    TRY(budget_zeroed(f->mem, &t->count, s->c, sizeof *t->count, "tails"));
    TRY(fit_each_block(f, f->o->train, add, t));
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t k = 0; k < s->c; k++)
        weibull_fit_high(&s->w[k], t->v + k * most, t->count[k]);
done:
    if (t != NULL) {
        budget_free(f->mem, &t->v);
        budget_free(f->mem, &t->count);
    }
    free(t);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t absent;
    TRY(mem_new(&s, 1, sizeof *s, "OpenMax"));
    *state = s;
    s->mem = f->mem;
    s->c = f->c;
    s->alpha = (size_t)param_int(p, "alpha");
    s->ranks = s->alpha < s->c ? s->alpha : s->c;
    TRY(budget_new(f->mem, &s->mean, s->c * s->c, sizeof *s->mean, "mean logits"));
    TRY(budget_new(f->mem, &s->w, s->c, sizeof *s->w, "mean logits"));
    absent = class_sums_mean(&f->correct_logits, s->mean);
    if (absent == s->c) {
        rc = fit_refuse(f, "no train row is predicted as labelled");
        goto done;
    }
    if (absent > 0)
        log_info("openmax: %zu of %zu classes have no train row predicted as labelled: they are never "
                 "doubted", absent, s->c);
    TRY(fit_tails(f, s, (size_t)param_int(p, "tail")));
done:
    return rc;
}

/* The n classes of the largest logits, first ones first among equals. */
static void rank_classes(const float *z, size_t c, size_t n, size_t *top)
{
    size_t have = 0;
    for (size_t k = 0; k < c; k++) {
        size_t at = have;
        while (at > 0 && z[k] > z[top[at - 1]])
            at--;
        if (at == n) continue;
        have += have < n;
        for (size_t i = have - 1; i > at; i--)
            top[i] = top[i - 1];
        top[at] = k;
    }
}

/* Log odds of the known against the unknown; z is a copy that may be changed. */
static double known(const state_type *s, float *z)
{
    size_t top[ALPHA_MAX], c = s->c;
    double kept[ALPHA_MAX], u = 0, most, sum;
    rank_classes(z, c, s->ranks, top);
    for (size_t r = 0; r < s->ranks; r++) {
        double v = (double)z[top[r]], weight = (double)(s->alpha - r) / (double)s->alpha;
        double w = weibull_cdf(&s->w[top[r]], distance(z, s->mean + top[r] * c, c));
        kept[r] = v * (1 - w * weight);
        u += v - kept[r];
    }
    most = -INFINITY;
    for (size_t r = 0; r < s->ranks; r++) {
        most = fmax(most, kept[r]);
        z[top[r]] = -INFINITY; /* counted by itself */
    }
    for (size_t k = 0; k < c; k++)
        most = fmax(most, (double)z[k]);
    for (size_t r = 0; r < s->ranks; r++)
        z[top[r]] = -1e30f;
    sum = rowmath_best()->sum_exp(z, c, most, 1);
    for (size_t r = 0; r < s->ranks; r++)
        sum += exp(kept[r] - most);
    return most + log(sum) - u;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const state_type *s = state;
    int probability = param_text(p, "score")[0] == 'p';
    float *z;
    int rc = block_work(b, 2, b->cache->rows * b->c, &z);
    if (rc < 0) return rc;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        memcpy(z + i * b->c, b->z + i * b->c, b->c * sizeof *z);
        double odds = known(s, z + i * b->c);
        out[i] = (float)(probability ? -1 / (1 + exp(odds)) : odds);
    }
    return 0;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->mem != NULL) {
        budget_free(s->mem, &s->mean);
        budget_free(s->mem, &s->w);
    }
    free(s);
    *state = NULL;
}

const method method_openmax = {
    .name = "openmax",
    .title = "OpenMax",
    .formula = "log odds of known and unknown, the top alpha logits lessened by the Weibull of their class",
    .paper = "Bendale and Boult, Towards Open Set Deep Networks, CVPR 2016, arXiv:1511.06233",
    .quirks = "published is -P(unknown) in f64, which in f32 is -1 for too many images; else as OpenOOD: distances of logits, tails of rows predicted as labelled; libMR's own tolerance "
              "is 1e-6; a class without such rows is never doubted (OpenOOD stops); equal distances are a "
              "step (libMR fails)",
    .groups = "seeds openood",
    .needs = NEEDS_LOGITS | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_CORRECT_LOGITS,
    .opts = (const method_opt[]){{"tail", "20", "how many of the largest distances", 1, 1e6, NULL, 1},
                                 {"alpha", "3", "how many of the largest logits", 1, ALPHA_MAX, NULL, 1},
                                 {"score", "odds", "odds: log odds; probability: -P(unknown) itself", 0, 0,
                                  "odds|probability", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
