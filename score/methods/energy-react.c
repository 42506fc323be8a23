/* ReAct.  Sun, Guo and Li, NeurIPS 2021, arXiv:2111.12797, in the variant of ViM and GEN.
 *   S = logsumexp(W min(h, c) + b), c the 0.99 quantile over all N x D train features. */
#include "score/methods/react.h"

const method method_energy_react = {
    .name = "energy-react",
    .title = "Energy+React",
    .formula = "logsumexp(W min(h, c) + b), c = quantile of all train features",
    .paper = "Sun, Guo and Li, ReAct: Out-of-distribution Detection With Rectified Activations, "
             "NeurIPS 2021, arXiv:2111.12797",
    .quirks = "one clip for all features, from train (the ReAct repository uses the constant 1.0)",
    .groups = "gen vim seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_QUANTILE,
    .waives = react_waives,
    .opts = (const method_opt[]){{"quantile", "0.99", "which quantile of the train features", 0, 1,
                                  NULL, 0},
                                 REACT_CLIP_OPT,
                                 {0}},
    .plan = react_plan_train,
    .fit = react_fit_train,
    .score = react_energy,
    .score_many = react_energy_many,
    .free = react_free,
};
