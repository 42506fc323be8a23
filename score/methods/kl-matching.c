/* KL matching.  Hendrycks et al., ICML 2022, arXiv:1911.11132, as in ViM and GEN.
 *   S = -min_k KL(p || q_k), q_k the mean softmax of the train rows predicted as class k
 *   KL(p || q) = sum_c p_c log(p_c / q_c); p_c = 0 counts 0, q_c = 0 < p_c gives infinity.
 * A product with log q in f32 bounds every divergence; those that may be the smallest are summed in
 * f64.  Classes that no train row was predicted as are left out (the published code stops there).
 * faithful=1 repeats a bug of GEN's script, which by then has overwritten the ID softmax: ID rows are
 * scored with the probabilities of energy-react (0.99 quantile), OOD rows and templates without. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/shared.h"

#include <stdlib.h>

typedef struct state_type {
    fit_context *f;
    const templates *q;
    int faithful;
    double clip;
} state_type;

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "KL matching"));
    s->f = f;
    *state = s;
    s->faithful = param_int(p, "faithful") != 0;
    TRY(fit_templates(f, &s->q));
    if (!s->faithful) goto done;
    if (s->q->k < s->q->c)
        return fit_refuse(
            f,
            "%zu of %zu classes are never predicted on train: the published code fails "
            "there (faithful=0 leaves them out)",
            s->q->c - s->q->k, s->q->c);
    if (f->o->head == NULL || f->o->train->d == 0 || f->o->id->d == 0)
        return fit_refuse(f, "faithful=1 needs features and the head");
    TRY(fit_quantile(f, f->o->train, 0.99, &s->clip));
done:
    return rc;
}

static int score(void *state, const method_params *params, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    const templates *q = s->q;
    const clipped_block *k = NULL;
    const float *p = b->p;
    float *room;
    double *least;
    (void)params;
    if (s->faithful && b->set == s->f->o->id) {
        TRY(block_clipped(b, (float)s->clip, &k));
        p = k->p;
    }
    TRY(block_work(b, 0, 2 * b->cache->rows, &room));
    least = (double *)(void *)room;
    TRY(s->f->la->ops->cross_entropy(s->f->la, q->kept, p, b->n, least));
    for (size_t i = 0; i < b->n; i++) {
        double plogp = k != NULL ? k->sums[i].plogp : b->plogp[i];
        out[i] = (float)-(plogp + least[i]);
    }
done:
    return rc;
}

static void release(void **state)
{
    free(*state);
    *state = NULL;
}

const method method_kl_matching = {
    .name = "kl-matching",
    .title = "KL-Matching",
    .formula = "-min_k sum_c p_c log(p_c / q_kc), q_k = mean train softmax of predicted class k",
    .paper =
        "Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, ICML "
        "2022, arXiv:1911.11132",
    .quirks = "GEN's script scores ID rows with ReAct-clipped probabilities: faithful=1 repeats it",
    .groups = "gen vim seeds",
    .needs = NEEDS_LOGITS | NEEDS_TRAIN,
    .stats = STAT_TEMPLATES,
    .opts =
        (const method_opt[]){{"faithful", "0", "1: repeat the bug of GEN's script", 0, 1, NULL, 1},
                             {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
