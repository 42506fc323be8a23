/* How far the metrics of score/metrics.h may be off by the luck of the images: 95 % intervals.
 *
 * AUROC: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), in the form of Sun and Xu, IEEE
 * Signal Processing Letters 21 (2014): one walk over the sorted scores.
 *   v_i = share of OOD below ID score i (a tie one half), w_j = share of ID above OOD score j
 *   variance = var(v) / n_id + var(w) / n_ood, divisors n - 1;  interval = AUROC -+ 1.96 s within [0, 1]
 * A set of one image has no variance: the interval is NaN.  Sets that do not overlap have none either: zero width, as everywhere.
 *
 * The others: bootstrap, ID and OOD drawn separately with replacement, as many as there are; the
 * interval is the 2.5 and 97.5 percentile of the replicates, linear between neighbours (numpy's).
 * Nothing is sorted again: a replicate is how often each distinct score was drawn.
 *   draws: splitmix64 from start = mix(seed + mix(r + G)) for replicate r, G = 0x9e3779b97f4a7c15,
 *   mix its output function; index = high 64 bits of draw * n; n_id indices into the ascending ID
 *   scores first, then n_ood into the ascending OOD scores.
 * So equal seeds give equal intervals, with any number of threads. */
#ifndef OUTPOST_UNCERTAINTY_H
#define OUTPOST_UNCERTAINTY_H

#include <stdint.h>

#include "score/metrics.h"

typedef struct interval {
    double lo, hi; /* NaN: there is none */
} interval;

enum { BOOTSTRAP_MAX = 100000 };

/* Of the AUROC of one pair of sets, and of the plain mean over several OOD sets, which share the ID images. */
double auroc_variance(const score_set *id, const score_set *ood);
int auroc_variance_of_mean(double *variance, const score_set *id, const score_set *ood, size_t n_sets);
interval auroc_interval(double auroc, double variance);

/* Intervals of all metrics, in the order of metric_fields: ci [METRIC_COUNT].  1 <= replicates. */
int metrics_bootstrap(interval *ci, const score_set *id, const score_set *ood, size_t replicates,
                      uint64_t seed);

/* The metrics of one replicate: how often each distinct score was drawn, ascending, p of ID and q of OOD.
 * Scores whose 1 - s is one f32 have one chain.  The arrays [groups] are squeezed; room [3 groups + 1]. */
void metrics_of_counts(metrics *m, uint32_t *p, uint32_t *q, uint32_t *chain, size_t groups,
                       double *room);

/* Two scores of the same images: DeLong's test of AUROC a = AUROC b. */
typedef struct paired_test {
    double a, b;     /* AUROC */
    double variance; /* of a - b; NaN with one image in a set */
    double z, p;     /* two-sided; equal AUROC of no variance: z 0, p 1; else p 0 */
    interval difference;
} paired_test;
/* ERR_INPUT when a score is not finite or a set is empty. */
int auroc_test_paired(paired_test *t, const float *id_a, const float *id_b, size_t n_id,
                      const float *ood_a, const float *ood_b, size_t n_ood);

#endif
