#include "score/stats/residual.h"
#include "score/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void residual_norms(const residual_space *r, const float *h, size_t n, float *centred,
                    float *projected, float *norm)
{
    size_t d = r->d, k = r->k;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            centred[i * d + j] = h[i * d + j] - r->u[j];
    linalg_gemm_abt(n, k, d, centred, d, r->r, d, 0, projected, k);
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < k; j++)
            sum += (double)projected[i * k + j] * (double)projected[i * k + j];
        norm[i] = (float)sqrt(sum);
    }
}

int residual_dim(fit_context *f, const char *rule, size_t *dim)
{
    size_t d = f->d;
    if (strcmp(rule, "auto") == 0) *dim = d >= 2048 ? 1000 : d >= 768 ? 512 : d / 2;
    else if (strcmp(rule, "gen") == 0) *dim = d >= 2048 ? 1000 : 512;
    else *dim = (size_t)strtoull(rule, NULL, 10);
    if (*dim >= d || *dim == 0)
        return fit_refuse(f, "dim=%s keeps %zu of %zu directions: nothing is left to measure", rule,
                          *dim, d);
    return 0;
}
