/* ASH-P: features pruned and nothing else.  Djurisic et al., ICLR 2023, arXiv:2209.09858.
 *   S = logsumexp(W h' + b), h' the k largest features, zeros elsewhere */
#include "score/methods/ash.h"

#include <string.h>

static void shape(const void *arg, const score_block *b, size_t i, float *h)
{
    memcpy(h, b->h + i * b->d, b->d * sizeof *h);
    ash_prune(h, b->d, ((const ash_state *)arg)->k);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const ash_state *s = state;
    (void)p;
    return shaped_energy(b, &(shaping){.shape = shape, .arg = s, .most = s->k}, out);
}

const method method_ash_p = {
    .name = "ash-p",
    .title = "ASH-P",
    .formula = "logsumexp(W h' + b), h' = the largest (100 - P) % of h, zeros elsewhere",
    .paper = "Djurisic et al., Extremely Simple Activation Shaping for Out-of-Distribution Detection, "
             "ICLR 2023, arXiv:2209.09858",
    .quirks = "on the pooled feature; among equal features the first are kept",
    .groups = "seeds",
    .needs = NEEDS_FEATURES | NEEDS_HEAD,
    .opts = (const method_opt[]){ASH_OPT("90"), {0}},
    .fit = ash_fit,
    .score = score,
    .free = ash_free,
};
