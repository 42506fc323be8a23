/* Histograms of the entries of a row, and how far one is from the mean of train: WeiPer's.
 *   edges   numpy-like linspace(least, most + 1e-8, bins + 1) in f32; a bin holds edge_i <= v < edge_(i+1),
 *           what lies outside lowers the sum of the bins */
#ifndef OUTPOST_DENSITY_H
#define OUTPOST_DENSITY_H

#include <stddef.h>
#include <stdint.h>

enum { DENSITY_BINS_MAX = 1024 };

typedef struct density {
    size_t bins;
    float least, scale;               /* bin of v is near (v - least) scale */
    float edge[DENSITY_BINS_MAX + 1]; /* [bins + 1] */
    double mean[DENSITY_BINS_MAX];    /* [bins] of train, summing to at most 1 */
} density;

/* Edges only. */
void density_open(density *d, size_t bins, float least, float most);
/* Adds n values to count [bins]. */
void density_count(const density *d, const float *v, size_t n, uint32_t *count);
/* Symmetric Kullback-Leibler divergence of mean + eps and of count / n, smoothed by a box of `kernel` bins with its
 * ends repeated, + eps, both normalised. */
double density_divergence(const density *d, const uint32_t *count, double n, size_t kernel, double eps);

#endif
