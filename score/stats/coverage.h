/* Neuron activation coverage (Liu et al., ICLR 2024, arXiv:2306.02879): how often each neuron's state fell into each
 * bin over the images it was built on.  State s = 1 / (1 + exp(-alpha o g)), f32; o g is a table of the probe `nac`, or
 * for the layer "features" h (W' (p - 1/C)), which features and head give. */
#ifndef OUTPOST_COVERAGE_H
#define OUTPOST_COVERAGE_H

#include "score/stats/tables.h"

enum { COVERAGE_BINS_MAX = 100000 };

/* Boundaries t [m] of m - 1 half-open bins, f64.
 * NAC-UE: dense around 0.5, m even; the middle one is exactly 0.5, the last are 1.01 and 1.2.
 * NAC-v0: equally spaced in 0..1, rounded to f32; a state of 1 falls into none. */
typedef enum coverage_kind { COVERAGE_UE, COVERAGE_V0 } coverage_kind;
void coverage_boundaries(coverage_kind kind, size_t m, double *t);
/* The j with t[j] <= s < t[j+1], m - 1 when there is none. */
size_t coverage_bin(const double *t, size_t m, double s);
float coverage_state(float product, float alpha);

typedef struct build_rows { /* of the train set, ascending */
    char key[80];
    size_t *row, n;
} build_rows;

/* "all"; "main": of each class, in the order of the file, shuffled with seed 1, the first images / classes;
 * "published": before that each class is shuffled with seed 1 and its first held / classes are set aside. */
int coverage_choose(fit_context *f, const char *how, size_t images, size_t held, const build_rows **out);

typedef struct coverage {
    const char *layer;
    coverage_kind kind;
    size_t m, width;
    double alpha;
    const build_rows *rows;
    double *t;       /* [m] */
    uint32_t *count; /* [width,m-1] */
    char name[LAYER_NAME];
} coverage;

/* Counted once for all settings that share it; lives as long as f.  rows NULL: over o->id (NAC-v0). */
int coverage_build(fit_context *f, const char *layer, coverage_kind kind, size_t m, double alpha,
                   const build_rows *rows, const coverage **out);
/* mean [n] over neurons of min(count / o, 1), of a block */
int coverage_of_block(const score_block *b, const coverage *k, double o, double *mean);

typedef struct coverages coverages;
void coverages_free(coverages **c, budget *mem);

#endif
