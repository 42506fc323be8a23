/* DICE, directed sparsification.  Sun and Li, ECCV 2022, arXiv:2111.09805.
 *   S = logsumexp((W o M) h + b), M_cd = m_d W_cd > percentile of all m_d W_cd, m = mean train feature
 * One masked copy of W, then a product. */
#include "score/methods/dice.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)p;
    return shaped_energy(b, &(shaping){.w = ((const dice_state *)state)->kept}, out);
}

const method method_dice = {
    .name = "dice",
    .title = "DICE",
    .formula = "logsumexp((W o M) h + b), M = m_d W_cd > percentile of all, m = mean train feature",
    .paper = "Sun and Li, DICE: Leveraging Sparsification for Out-of-Distribution Detection, ECCV 2022, "
             "arXiv:2111.09805",
    .quirks = "OpenOOD's percentile is 90; the authors' for ResNet-50 is 70; the bias is not masked",
    .groups = "seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_MEAN,
    .opts = (const method_opt[]){{"percentile", "90", "percentage of weights that are masked", 0, 100,
                                  NULL, 0},
                                 {0}},
    .fit = dice_fit,
    .score = score,
    .free = dice_free,
};
