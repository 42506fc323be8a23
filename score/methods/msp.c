/* Maximum softmax probability.  Hendrycks and Gimpel, ICLR 2017, arXiv:1610.02136.
 *   S = max_c p_c, p = softmax(z), f32, max subtracted.  Confident rows tie at exactly 1. */
#include "score/method.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        float top = 0;
        for (size_t k = 0; k < b->c; k++)
            top = b->p[i * b->c + k] > top ? b->p[i * b->c + k] : top;
        out[i] = top;
    }
    return 0;
}

const method method_msp = {
    .name = "msp",
    .title = "MSP",
    .formula = "max_c p_c",
    .paper = "Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution "
             "Examples, ICLR 2017, arXiv:1610.02136",
    .quirks = "f32: confident rows saturate at exactly 1 and tie",
    .groups = "gen vim mos openood seeds",
    .needs = NEEDS_LOGITS,
    .score = score,
};
