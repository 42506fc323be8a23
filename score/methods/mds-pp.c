/* Mahalanobis++: MDS over features of length 1.  Mueller and Hein, ICML 2025.
 *   S = -min_k (f - m_k)' P (f - m_k), f = h / |h|, m and P of x / |x| */
#include "score/methods/mds.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    (void)p;
    (void)state;
    return fit_gaussian(f, GAUSSIAN_UNIT, NULL);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    return mds_score(b, GAUSSIAN_UNIT, out);
}

const method method_mds_pp = {
    .name = "mds++",
    .title = "MDS++",
    .formula = "-min_k (f - m_k)' P (f - m_k), f = h / |h|, m and P of x / |x|",
    .paper = "Mueller and Hein, Mahalanobis++: Improving OOD Detection via Feature Normalization, ICML 2025, "
             "arXiv:2505.18032",
    .quirks = "no epsilon in the division; a row of zeros, NaN there, stays the zero vector; features of length 1 are rounded "
              "to f32",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_UNIT | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = mds_free,
};
