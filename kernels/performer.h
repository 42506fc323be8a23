/* Linear attention of T2T-ViT's performer stage (Choromanski et al. 2020, arXiv:2009.14794; Yuan et al.
 * 2021, arXiv:2101.11986; models.md 6.3): with phi(z) = exp(w z - |z|^2 / 2) / sqrt(m),
 *   y_t = phi(q_t) . (sum_s phi(k_s) v_s) / (phi(q_t) . sum_s phi(k_s) + 1e-8).
 * Three kernels: performer_sum, the sums over each CHUNK of tokens; performer_join, the sum of those;
 * performer_out.  All sums run in order, in float, so no two runs or batches differ. */
#ifndef OUTPOST_KERNEL_PERFORMER_H
#define OUTPOST_KERNEL_PERFORMER_H

#include "kernels/op.h"

enum { PERFORMER_CHUNK = 128, PERFORMER_WIDEST = 64 }; /* tokens; of d and m */

OP_MATH int performer_chunks(int tokens)
{
    return (tokens - 1) / PERFORMER_CHUNK + 1;
}

/* w: one random feature [d] */
OP_MATH float performer_phi(const float *w, const float *z, int d, int m)
{
    float dot = 0.0f, squares = 0.0f;
    for (int e = 0; e < d; e++) {
        dot = fmaf(w[e], z[e], dot);
        squares = fmaf(z[e], z[e], squares);
    }
    return expf(dot - 0.5f * squares) / sqrtf((float)m);
}

#endif
