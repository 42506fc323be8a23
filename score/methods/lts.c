/* LTS, logit scaling.  Djurisic, Liu and Nikolic, 2024, arXiv:2409.01175.
 *   s = (sum_j max(h_j, 0) / sum of its k largest)^2, k = max(1, D - round(D P / 100)), P = 95
 *   S = logsumexp(s z) */
#include "score/stats/shared.h"
#include "score/stats/tempered.h"
#include "score/stats/topk.h"

#include <math.h>

static double factor_of(const float *h, size_t d, size_t k)
{
    double all = 0, top = 0;
    size_t larger;
    float least = topk_least(h, d, k, &larger);
    for (size_t j = 0; j < d; j++) {
        double v = h[j] > 0 ? (double)h[j] : 0;
        all += v;
        if (h[j] > least) top += v;
    }
    top += (double)(k - larger) * (least > 0 ? (double)least : 0);
    return top > 0 ? (all / top) * (all / top) : 1;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    size_t k = topk_of_percent(b->d, param_double(p, "percentile"));
    (void)state;
    k = k > 0 ? k : 1;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double top;
        out[i] = (float)tempered_lse(b->z + i * b->c, b->c, factor_of(b->h + i * b->d, b->d, k), &top);
    }
    return 0;
}

const method method_lts = {
    .name = "lts",
    .title = "LTS",
    .formula = "logsumexp(s z), s = (sum h+ / sum of the largest (100 - P) % of h+)^2",
    .paper = "Djurisic, Liu and Nikolic, Logit Scaling for Out-of-Distribution Detection, 2024, "
             "arXiv:2409.01175",
    .quirks = "the logits are scaled, bias included; a row without positive feature keeps its logits",
    .groups = "pytorch-ood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS,
    .opts = (const method_opt[]){{"percentile", "95", "percentage of features left out of the divisor",
                                  0, 100, NULL, 0},
                                 {0}},
    .score = score,
};
