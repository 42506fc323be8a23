/* Energy.  Liu et al., NeurIPS 2020, arXiv:2010.03759, section 3.
 *   S = T log sum_c exp(z_c / T); T = 1 in every published run.  Unit of the logits. */
#include "score/method.h"

#include <math.h>
#include <string.h>

static float energy_of(const float *z, size_t c, float max, double t)
{
    double sum = 0;
    for (size_t k = 0; k < c; k++)
        sum += exp(((double)z[k] - (double)max) / t);
    return (float)((double)max + t * log(sum));
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    double t = param_double(p, "temperature");
    (void)state;
    if (t == 1) {
        memcpy(out, b->lse, b->n * sizeof *out);
        return 0;
    }
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        out[i] = energy_of(b->z + i * b->c, b->c, b->zmax[i], t);
    return 0;
}

const method method_energy = {
    .name = "energy",
    .title = "Energy",
    .formula = "T log sum_c exp(z_c / T)",
    .paper =
        "Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020, arXiv:2010.03759",
    .groups = "gen vim mos openood seeds",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"temperature", "1", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {0}},
    .score = score,
};
