/* SSD: Mahalanobis distance to the only Gaussian of the normalised train features.  Sehwag et al., ICLR 2021.
 *   S = -(f - m)' P (f - m), f = h / |h|, one Gaussian for all train rows */
#include "score/methods/mds.h"

static int fit(fit_context *f, const method_params *p, void **state)
{
    (void)p;
    (void)state;
    return fit_gaussian(f, GAUSSIAN_UNIT | GAUSSIAN_POOLED, NULL);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    return mds_score(b, GAUSSIAN_UNIT | GAUSSIAN_POOLED, out);
}

const method method_ssd = {
    .name = "ssd",
    .title = "SSD",
    .formula = "-(f - m)' P (f - m), f = h / |h|, one Gaussian for all train rows",
    .paper = "Sehwag, Chiang and Mittal, SSD: A Unified Framework for Self-Supervised Outlier Detection, ICLR 2021, "
             "arXiv:2103.12051",
    .quirks = "one cluster, the best of the paper; on the features of a plain classifier, where the paper has a "
              "self-supervised one; no labels; OpenOOD has a file of the name without a score",
    .groups = "openood seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN,
    .stats = STAT_UNIT,
    .fit = fit,
    .score = score,
    .free = mds_free,
};
