/* Mahalanobis distance to the nearest class mean, on the penultimate feature.
 * Lee et al., NeurIPS 2018, arXiv:1807.03888, simplified as by Fort et al. 2021, arXiv:2106.03004.
 *   S = -min_k (h - m_k)' P (h - m_k), P = pinvh(Sigma), Sigma = 1/N sum (x - m_y)(x - m_y)'
 * True labels; rows without one are left out, and so are classes without rows.  Features are whitened
 * once, a product gives all distances, and the classes that may be the nearest are measured again
 * without the expansion, which cancels.  A distance beyond f32 gives minus infinity. */
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

const method method_mahalanobis = {
    .name = "mahalanobis",
    .title = "Mahalanobis",
    .formula = "-min_k (h - m_k)' P (h - m_k), P = pinvh(1/N sum (x - m_y)(x - m_y)')",
    .paper = "Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
             "Adversarial Attacks, NeurIPS 2018, arXiv:1807.03888",
    .quirks =
        "penultimate feature only, true labels, divided by N; HIMPLoS has half of it, through a decreasing sigmoid; the published f32 scores on GPUs "
        "may have used TF32 (1e-3 relative)",
    .groups = "gen vim seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_SECOND | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = mds_free,
};
