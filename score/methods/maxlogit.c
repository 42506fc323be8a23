/* Maximum logit.  Hendrycks et al., ICML 2022, arXiv:1911.11132.
 *   S = max_c z_c, f32. */
#include "score/method.h"

#include <string.h>

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    (void)p;
    memcpy(out, b->zmax, b->n * sizeof *out);
    return 0;
}

const method method_maxlogit = {
    .name = "maxlogit",
    .title = "MaxLogit",
    .formula = "max_c z_c",
    .paper =
        "Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, ICML "
        "2022, arXiv:1911.11132",
    .groups = "gen vim openood seeds",
    .needs = NEEDS_LOGITS,
    .score = score,
};
