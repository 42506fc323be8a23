/* GradNorm.  Huang, Geng and Li, NeurIPS 2021, arXiv:2110.00218.
 *   S = || dL/dW ||_1, L = -sum_c log softmax(z / T)_c (targets are ones), the bias left out.
 * dL/dz = (C p - 1) / T and dL/dW = (dL/dz) h', so
 *   S = 1/T (sum_c |C p_c - 1|) (sum_d |h_d|): no backward pass. */
#include "score/stats/shared.h"

#include <math.h>

/* sum_c |C p_c - 1| */
static double off_uniform(const float *p, size_t c)
{
    double sum = 0, classes = (double)c;
    for (size_t k = 0; k < c; k++)
        sum += fabs(classes * (double)p[k] - 1);
    return sum;
}

static double tempered(const float *z, size_t c, float max, double t)
{
    double total = 0, sum = 0;
    for (size_t k = 0; k < c; k++)
        total += exp(((double)z[k] - (double)max) / t);
    for (size_t k = 0; k < c; k++)
        sum += fabs((double)c * exp(((double)z[k] - (double)max) / t) / total - 1);
    return sum;
}

static int score(void *state, const method_params *params, const score_block *b, float *out)
{
    double t = param_double(params, "temperature");
    (void)state;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double length = 0, off;
        for (size_t j = 0; j < b->d; j++)
            length += (double)fabsf(b->h[i * b->d + j]);
        off = t == 1 ? off_uniform(b->p + i * b->c, b->c)
                     : tempered(b->z + i * b->c, b->c, b->zmax[i], t);
        out[i] = (float)(off * length / t);
    }
    return 0;
}

const method method_gradnorm = {
    .name = "gradnorm",
    .title = "GradNorm",
    .formula = "1/T (sum_c |C p_c - 1|) (sum_d |h_d|)",
    .paper =
        "Huang, Geng and Li, On the Importance of Gradients for Detecting Distributional Shifts "
        "in the Wild, NeurIPS 2021, arXiv:2110.00218",
    .quirks =
        "closed form of the per-sample gradient of the last weight; targets are ones, not 1/C",
    .groups = "gen vim mos openood seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS,
    .opts = (const method_opt[]){{"temperature", "1", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {0}},
    .score = score,
};
