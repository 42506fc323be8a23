/* ODIN without its input perturbation (eps = 0).  Liang, Li and Srikant, ICLR 2018, arXiv:1706.02690.
 *   S = max_c softmax(z / T)_c, T = 1000.
 * That is what MOS, GradNorm, RankFeat and NAC run as "ODIN": their eps is 0.  With a perturbation the
 * network is needed. */
#include "score/stats/tempered.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    tempered_msp(b, param_double(p, "temperature"), out);
    return 0;
}

const method method_odin = {
    .name = "odin",
    .title = "ODIN",
    .formula = "max_c softmax(z / T)_c",
    .paper = "Liang, Li and Srikant, Enhancing The Reliability of Out-of-distribution Image "
             "Detection in Neural Networks, ICLR 2018, arXiv:1706.02690",
    .quirks = "no input perturbation (eps = 0), as published by MOS, GradNorm and RankFeat; their f32 "
              "scores tie where logits differ by less than 1e-4; OpenOOD perturbs by 0.0014",
    .groups = "mos seeds",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"temperature", "1000", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {0}},
    .score = score,
};
