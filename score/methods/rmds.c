/* RMDS, relative Mahalanobis distance.  Ren et al. 2021, as OpenOOD.
 *   S = (h - m_0)' P_0 (h - m_0) - min_k (h - m_k)' P (h - m_k), m_0 and P_0 of all train rows */
#include "score/methods/mds.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    (void)p;
    (void)state;
    return rmds_fit(f, 0);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    return rmds_score(b, 0, out);
}

const method method_rmds = {
    .name = "rmds",
    .title = "RMDS",
    .formula = "(h - m_0)' P_0 (h - m_0) - min_k (h - m_k)' P (h - m_k), m_0 and P_0 of all train rows",
    .paper = "Ren et al., A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection, 2021, "
             "arXiv:2106.09022",
    .quirks = "both covariances divided by N (pytorch-ood leaves that of all rows undivided); rows without a label count "
              "for the second Gaussian only",
    .groups = "openood seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_SECOND | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = mds_free,
};
