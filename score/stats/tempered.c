#include "score/stats/tempered.h"
#include "score/stats/rowmath.h"

#include <math.h>

double tempered_lse(const float *z, size_t c, double scale, double *top)
{
    float most = z[0];
    for (size_t k = 1; k < c; k++)
        if (scale < 0 ? z[k] < most : z[k] > most) most = z[k];
    *top = scale * (double)most;
    return *top + log(rowmath_best()->sum_exp(z, c, (double)most, scale));
}

void tempered_msp(const score_block *b, double t, float *out)
{
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double top, lse = tempered_lse(b->z + i * b->c, b->c, 1 / t, &top);
        out[i] = (float)exp(top - lse);
    }
}
