/* ASH-B: the kept features made equal.  Djurisic et al., ICLR 2023, arXiv:2209.09858.
 *   S = logsumexp(W h' + b), h' = s1 / k at the k largest features, zeros elsewhere, s1 = sum of h
 * What OpenOOD runs as ASH. */
#include "score/methods/ash.h"
#include "score/stats/topk.h"

static void shape(const void *arg, const score_block *b, size_t i, float *h)
{
    size_t k = ((const ash_state *)arg)->k, larger, ties;
    const float *from = b->h + i * b->d;
    float least = topk_least(from, b->d, k, &larger), fill;
    double sum = 0;
    for (size_t j = 0; j < b->d; j++)
        sum += (double)from[j];
    fill = (float)(sum / (double)k);
    ties = k - larger;
    for (size_t j = 0; j < b->d; j++) {
        int kept = from[j] > least || (from[j] == least && ties > 0);
        if (kept && from[j] == least) ties--;
        h[j] = kept ? fill : 0;
    }
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const ash_state *s = state;
    (void)p;
    return shaped_energy(b, &(shaping){.shape = shape, .arg = s, .most = s->k}, out);
}

const method method_ash_b = {
    .name = "ash-b",
    .title = "ASH-B",
    .formula = "logsumexp(W h' + b), h' = (sum h) / k at the k largest of h, zeros elsewhere",
    .paper = "Djurisic et al., Extremely Simple Activation Shaping for Out-of-Distribution Detection, "
             "ICLR 2023, arXiv:2209.09858",
    .quirks = "OpenOOD's ASH; among equal features the first are kept, so a row with fewer positive "
              "features than k fills zeros by their place; signed features may sum to less than zero",
    .groups = "seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD,
    .opts = (const method_opt[]){ASH_OPT("90"), {0}},
    .fit = ash_fit,
    .score = score,
    .free = ash_free,
};
