/* NCI, neural collapse inspired.  Liu and Qin, CVPR 2025, arXiv:2311.01479.
 *   S = <w_y, h - m> / |h - m| + alpha |h|_1, y = argmax z, m the mean train feature */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/prototypes.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>

static int fit(fit_context *f, const method_params *p, void **state)
{
    double *mean = NULL;
    int rc = mem_new(&mean, f->d, sizeof *mean, "mean feature");
    (void)p;
    if (rc < 0) return rc;
    *state = mean;
    fit_mean(f, mean);
    return 0;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const double *mean = state;
    const head *w = b->cache->f->o->head;
    double alpha = param_double(p, "alpha");
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *h = b->h + i * b->d, *row = w->w + b->sums[i].argmax * b->d;
        double dot = 0, square = 0;
        for (size_t j = 0; j < b->d; j++) {
            double t = (double)h[j] - mean[j];
            dot += t * (double)row[j];
            square += t * t;
        }
        out[i] = (float)((square > 0 ? dot / sqrt(square) : 0) + alpha * rows_l1(h, b->d));
    }
    return 0;
}

static void release(void **state)
{
    free(*state);
    *state = NULL;
}

const method method_nci = {
    .name = "nci",
    .title = "NCI",
    .formula = "<w_y, h - m> / |h - m| + alpha |h|_1, y = argmax z, m = mean train feature",
    .paper = "Liu and Qin, Detecting Out-of-Distribution Through the Lens of Neural Collapse, CVPR 2025, "
             "arXiv:2311.01479",
    .quirks = "OpenOOD searches alpha in 1e-4 to 0.1, pytorch-ood has 0; a row at the mean has no direction: "
              "0 for the first term",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .stats = STAT_MEAN,
    .opts = (const method_opt[]){{"alpha", "0.0001", "weight of the norm", -1e9, 1e9, NULL, 0}, {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
