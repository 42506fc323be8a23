/* CADRef, class-aware decoupled relative feature.  Ling et al., CVPR 2025, arXiv:2503.00325.
 *   a_j = sign(W_yj) (h_j - m_yj); E_p = sum max(a, 0) / |h|_1, E_n = sum max(-a, 0) / |h|_1
 *   S = -(E_p / s(x) + E_n / mean of s over train), s = logsumexp(z), max z or max p */
#include "common/mem.h"
#include "score/methods/caref.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct state_type {
    prototypes q;
    double mean;
} state_type;

static int fit(fit_context *f, const method_params *p, void **state)
{
    state_type *s = NULL;
    char by = param_text(p, "score")[1];
    int rc = mem_new(&s, 1, sizeof *s, "CADRef");
    if (rc < 0) return rc;
    *state = s;
    s->mean = by == 'n' ? f->mean_lse : by == 'a' ? f->mean_max_logit : f->mean_msp;
    if (!(s->mean > 0))
        return fit_refuse(f, "the mean %s of train is %g, not above 0", param_text(p, "score"),
                          s->mean);
    return caref_fit(f, &s->q, "cadref");
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const state_type *s = state;
    const head *w = b->cache->f->o->head;
    char by = param_text(p, "score")[1]; /* energy, maxlogit, msp */
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        size_t y = b->sums[i].argmax;
        const float *h = b->h + i * b->d, *m = s->q.m + y * b->d, *row = w->w + y * b->d;
        double plus = 0, minus = 0, length = rows_l1(h, b->d), own, sum;
        for (size_t j = 0; j < b->d; j++) {
            double t = (double)h[j] - (double)m[j], a = row[j] > 0 ? t : row[j] < 0 ? -t : 0;
            plus += a > 0 ? a : 0;
            minus += a < 0 ? -a : 0;
        }
        own = by == 'n' ? b->sums[i].lse
              : by == 'a' ? (double)b->zmax[i]
                          : exp((double)b->zmax[i] - b->sums[i].lse);
        length = length > 0 ? length : FLT_MIN;
        sum = plus / length / (own > FLT_MIN ? own : FLT_MIN) + minus / length / s->mean;
        out[i] = sum < FLT_MAX ? (float)-sum : -FLT_MAX;
    }
    return 0;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s != NULL) prototypes_clear(&s->q);
    free(s);
    *state = NULL;
}

const method method_cadref = {
    .name = "cadref",
    .title = "CADRef",
    .formula = "-(E_p / s + E_n / mean s), E = relative errors towards and against the sign of w_y, s = "
               "logsumexp(z)",
    .paper = "Ling et al., CADRef: Robust Out-of-Distribution Detection via Class-Aware Decoupled Relative "
             "Feature Leveraging, CVPR 2025, arXiv:2503.00325",
    .quirks = "as the authors' code, which is not as their equations; a score s of a row that is not above 0 "
              "counts as the least f32",
    .groups = "pytorch-ood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_PREDICTED | STAT_MEAN | STAT_LOGITS,
    .opts = (const method_opt[]){{"score", "energy", "s: energy, maxlogit or msp", 0, 0,
                                  "energy|maxlogit|msp", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
