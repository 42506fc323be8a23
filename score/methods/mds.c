/* MDS, Mahalanobis distance as OpenOOD has it: the score of mahalanobis.c, and its fit.
 *   S = -min_k (h - m_k)' P (h - m_k), P = pinvh(1/N sum (x - m_y)(x - m_y)') */
#include "score/methods/mds.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    (void)p;
    (void)state;
    return fit_gaussian(f, 0, NULL);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    return mds_score(b, 0, out);
}

const method method_mds = {
    .name = "mds",
    .title = "MDS",
    .formula = "-min_k (h - m_k)' P (h - m_k), P = pinvh(1/N sum (x - m_y)(x - m_y)')",
    .paper = "Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
             "Adversarial Attacks, NeurIPS 2018, arXiv:1807.03888",
    .quirks = "OpenOOD centres the centred features once more, by a mean that is zero: the score is that of "
              "mahalanobis; no factor 1/2, no perturbation of the input; a class without rows is left out (NaN there)",
    .groups = "openood seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_SECOND | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = mds_free,
};
