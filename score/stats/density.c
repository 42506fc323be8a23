#include "score/stats/density.h"

#include <math.h>

void density_open(density *d, size_t bins, float least, float most)
{
    float end = most + 1e-8f, step = (float)bins;
    d->bins = bins;
    d->least = least;
    for (size_t i = 0; i <= bins; i++) {
        d->edge[i] = least + (float)i / step * (end - least);
        if (i < bins) d->mean[i] = 0;
    }
    d->scale = end > least ? step / (end - least) : 0;
}

void density_count(const density *d, const float *v, size_t n, uint32_t *count)
{
    float last = (float)(d->bins - 1);
    for (size_t j = 0; j < n; j++) {
        float at = (v[j] - d->least) * d->scale;
        size_t i;
        if (!(v[j] >= d->edge[0] && v[j] < d->edge[d->bins])) continue;
        i = (size_t)(at > 0 ? at < last ? at : last : 0); /* at most one off */
        while (v[j] < d->edge[i])
            i--;
        while (v[j] >= d->edge[i + 1])
            i++;
        count[i]++;
    }
}

double density_divergence(const density *d, const uint32_t *count, double n, size_t kernel, double eps)
{
    double q[DENSITY_BINS_MAX], p_sum = 0, q_sum = 0, sum = 0;
    size_t bins = d->bins, before = (kernel - 1) / 2;
    for (size_t i = 0; i < bins; i++) {
        q[i] = 0;
        for (size_t k = 0; k < kernel; k++) {
            size_t at = i + k < before ? 0 : i + k - before;
            q[i] += (double)count[at < bins ? at : bins - 1];
        }
        q[i] = q[i] / ((double)kernel * n) + eps;
        q_sum += q[i];
        p_sum += d->mean[i] + eps;
    }
    for (size_t i = 0; i < bins; i++) {
        double p = (d->mean[i] + eps) / p_sum, t = q[i] / q_sum;
        sum += (p - t) * log(p / t); /* both directions at once */
    }
    return sum;
}
