/* Local ReAct.  Liu, Lochman and Zach, CVPR 2023.
 *   S = logsumexp(W min(h, c_set) + b), c_set the 0.9995 quantile of all features of the test set itself.
 * Transductive: the score of an image depends on the set it is in. */
#include "score/methods/react.h"

const method method_local_react = {
    .name = "local-react",
    .title = "Local React",
    .formula = "logsumexp(W min(h, c) + b), c = quantile of all features of the same test set",
    .paper = "Liu, Lochman and Zach, GEN, CVPR 2023",
    .quirks = "transductive: the score of an image depends on which test set it is in",
    .groups = "gen seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD,
    .opts =
        (const method_opt[]){
            {"quantile", "0.9995", "which quantile of the test set", 0, 1, NULL, 0}, {0}},
    .plan = react_plan_later,
    .fit = react_fit_later,
    .enter_set = react_enter_set,
    .score = react_energy,
    .score_many = react_energy_many,
    .free = react_free,
};
