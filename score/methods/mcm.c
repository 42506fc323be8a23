/* Maximum concept matching.  Ming et al., NeurIPS 2022, arXiv:2211.13445.
 *   S = max_c softmax(z / tau)_c, z the similarities with the text prompts as the network gives them. */
#include "score/stats/tempered.h"

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    tempered_msp(b, param_double(p, "tau"), out);
    return 0;
}

const method method_mcm = {
    .name = "mcm",
    .title = "MCM",
    .formula = "max_c softmax(z / tau)_c",
    .paper = "Ming et al., Delving into Out-of-Distribution Detection with Vision-Language "
             "Representations, NeurIPS 2022, arXiv:2211.13445",
    .quirks = "for CLIP z already holds the logit scale of the network (OpenOOD); on other networks "
              "tau = 1 is MSP",
    .groups = "openood",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"tau", "1", "softmax temperature", 1e-6, 1e9, NULL, 0}, {0}},
    .score = score,
};
