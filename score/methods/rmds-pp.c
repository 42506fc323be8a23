/* RMDS over features of length 1.  Mueller and Hein, ICML 2025.
 *   S = (f - m_0)' P_0 (f - m_0) - min_k (f - m_k)' P (f - m_k), f = h / |h| */
#include "score/methods/mds.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    (void)p;
    (void)state;
    return rmds_fit(f, GAUSSIAN_UNIT);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    return rmds_score(b, GAUSSIAN_UNIT, out);
}

const method method_rmds_pp = {
    .name = "rmds++",
    .title = "RMDS++",
    .formula = "(f - m_0)' P_0 (f - m_0) - min_k (f - m_k)' P (f - m_k), f = h / |h|",
    .paper = "Mueller and Hein, Mahalanobis++: Improving OOD Detection via Feature Normalization, ICML 2025, "
             "arXiv:2505.18032",
    .quirks = "as mds++ and rmds",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_UNIT | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = mds_free,
};
