/* OTOD: how far features, logits and probabilities are from flat.  OpenOOD leaderboard; authors' code.
 *   d(v) = min(mean_j |v_j - 1/n|, mean_j |v_j|): the Wasserstein distance of the entries to a constant
 *   S = -(d(h/|h| + e) + d(z/|z| + e) + d(q/|q| + e)) / 3, q = softmax(z / 3), e = 1e-10 */
#include "score/stats/shared.h"
#include "score/stats/tempered.h"

#include <math.h>

/* Of v / |v| + e; a zero vector counts as zeros. */
static double from_flat(const float *v, size_t n)
{
    double square = 0, norm, flat = 1 / (double)n, to_flat = 0, to_zero = 0;
    for (size_t j = 0; j < n; j++)
        square += (double)v[j] * (double)v[j];
    norm = square > 0 ? 1 / sqrt(square) : 0;
    for (size_t j = 0; j < n; j++) {
        double x = (double)v[j] * norm + 1e-10;
        to_flat += fabs(x - flat);
        to_zero += fabs(x);
    }
    return fmin(to_flat, to_zero) * flat;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    double t = param_double(p, "temperature");
    float *q;
    int rc = block_work(b, 2, b->cache->rows * b->c, &q);
    (void)state;
    if (rc < 0) return rc;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *z = b->z + i * b->c;
        float *row = q + i * b->c; /* its length is divided out: no need to normalise */
        for (size_t k = 0; k < b->c; k++)
            row[k] = (float)exp(((double)z[k] - (double)b->zmax[i]) / t);
        out[i] = (float)(-(from_flat(b->h + i * b->d, b->d) + from_flat(z, b->c) +
                           from_flat(row, b->c)) /
                         3);
    }
    return 0;
}

const method method_otod = {
    .name = "otod",
    .title = "OTOD",
    .formula = "-(d(h) + d(z) + d(softmax(z / T))) / 3, d = mean distance of the unit vector from flat",
    .paper = "OTOD, OpenOOD v1.5 leaderboard (no paper known; the authors' code)",
    .quirks = "the Wasserstein distance to a constant is a mean of absolute differences",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS,
    .opts = (const method_opt[]){{"temperature", "3", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {0}},
    .score = score,
};
