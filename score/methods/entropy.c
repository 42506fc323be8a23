/* Shannon entropy, the baseline of the GEN paper.
 *   S = sum_c p_c log p_c over all classes, natural log; 0 log 0 = 0.
 * Computed as sum e t / s - log s with t = z - max, e = exp t, s = sum e: no logarithm of a small p. */
#include "score/method.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)b->plogp[i];
    return 0;
}

const method method_entropy = {
    .name = "entropy",
    .title = "Shannon entropy",
    .formula = "sum_c p_c log p_c",
    .paper = "Liu, Lochman and Zach, GEN, CVPR 2023 (as its baseline)",
    .quirks = "published: a probability that underflows gives NaN; here 0 log 0 = 0",
    .groups = "gen seeds",
    .needs = NEEDS_LOGITS,
    .score = score,
};
