/* GEN with Local ReAct.  Liu, Lochman and Zach, CVPR 2023.
 *   S = G(softmax(W min(h, c_set) + b)), c_set the 0.9995 quantile of the test set itself. */
#include "score/methods/react.h"
#include "score/stats/gentropy.h"

const method method_gen_local_react = {
    .name = "gen-local-react",
    .title = "GEN + Local React",
    .formula = "GEN(softmax(W min(h, c) + b)), c = quantile of all features of the same test set",
    .paper = "Liu, Lochman and Zach, GEN, CVPR 2023",
    .quirks = "transductive: the score of an image depends on which test set it is in",
    .groups = "gen seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD,
    .opts =
        (const method_opt[]){
            GEN_OPTS, {"quantile", "0.9995", "which quantile of the test set", 0, 1, NULL, 0}, {0}},
    .plan = react_plan_later,
    .fit = react_fit_later,
    .enter_set = react_enter_set,
    .score = react_gen,
    .score_many = react_gen_many,
    .free = react_free,
};
