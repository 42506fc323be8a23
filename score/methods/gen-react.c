/* GEN on the softmax of clipped features.  Liu, Lochman and Zach, CVPR 2023.
 *   S = G(softmax(W min(h, c) + b)), c the 0.99 quantile over all N x D train features. */
#include "score/methods/react.h"
#include "score/stats/gentropy.h"

const method method_gen_react = {
    .name = "gen-react",
    .title = "GEN + React",
    .formula = "GEN(softmax(W min(h, c) + b)), c = quantile of all train features",
    .paper = "Liu, Lochman and Zach, GEN, CVPR 2023; Sun, Guo and Li, ReAct, NeurIPS 2021",
    .groups = "gen seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_QUANTILE,
    .waives = react_waives,
    .opts = (const method_opt[]){GEN_OPTS,
                                 {"quantile", "0.99", "which quantile of the train features", 0, 1,
                                  NULL, 0},
                                 REACT_CLIP_OPT,
                                 {0}},
    .plan = react_plan_train,
    .fit = react_fit_train,
    .score = react_gen,
    .score_many = react_gen_many,
    .free = react_free,
};
