/* What several methods derive from one block of test rows: computed when first asked for. */
#ifndef OUTPOST_SHARED_H
#define OUTPOST_SHARED_H

#include "score/method.h"
#include "score/stats/fit.h"
#include "score/stats/logits.h"

typedef struct clipped_block { /* softmax of W min(h, clip) + b */
    float clip;
    float *p;       /* [n,c] */
    row_sums *sums; /* [n] */
} clipped_block;

enum { CLIPPED_MAX = 3, RESIDUALS_MAX = SPACES_MAX };

struct block_cache {
    fit_context *f;
    size_t rows; /* room of every buffer */
    int clipped; /* slots filled for this block, oldest replaced when full */
    clipped_block clip[CLIPPED_MAX];
    int next_clip;
    const residual_space *space[RESIDUALS_MAX];
    float *norm[RESIDUALS_MAX];
    int residuals, next_residual;
    float *gen; /* of the plain softmax, for one pair of options */
    int gen_filled;
    double gen_gamma;
    long long gen_m;
    double *nearest[2]; /* distances of the ranks asked for: nearest.h */
    int nearest_filled[2];
    double *gaussian[GAUSSIANS]; /* distances: gaussian.h */
    int gaussian_filled[GAUSSIANS];
    float *work[3]; /* grown on demand: see block_work */
    size_t work_room[3];
};

void block_cache_open(block_cache *b, fit_context *f, size_t rows);
void block_cache_close(block_cache *b);
/* Forgets what was derived; the buffers stay. */
void block_cache_next(block_cache *b);

/* Softmax of the logits of features clipped from above.  The plain logits are corrected by the few
 * entries that the clip touches; a row that loses more than it keeps (heavy tails), and every row when the
 * plain logits are stored ones, is computed afresh. */
int block_clipped(const score_block *b, float clip, const clipped_block **out);
/* Residual norms [n]. */
int block_residual(const score_block *b, const residual_space *r, const float **norm);
/* GEN of the plain softmax [n], by the options gamma and m. */
int block_gen(const score_block *b, const method_params *p, const float **out);
/* `which` (0..2) of three scratch arrays of `count` floats, valid until the next call with it. */
int block_work(const score_block *b, int which, size_t count, float **out);

#endif
