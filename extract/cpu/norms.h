/* Normalisation by an image's own statistics, f32 or bf16 maps.
 *   groupnorm  over c / groups channels and h, w      Wu and He 2018, arXiv:1803.08494
 *   layernorm  over the channels of each pixel         Ba et al. 2016, arXiv:1607.06450
 * y = act((x - mean) / sqrt(var + eps) gamma + beta), biased variance.  Means may be large against the
 * deviations: nothing is computed as E[x^2] - E[x]^2. */
#ifndef OUTPOST_NORMS_H
#define OUTPOST_NORMS_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct norm {
    int groups;                /* groupnorm */
    float eps;
    const float *gamma, *beta; /* [c] */
} norm;

/* Bytes of scratch, 8-byte aligned, for a map of c channels. */
size_t norm_scratch(size_t c);
/* act: none or a bound */
void norm_groups(const norm *v, const view *x, activation act, const view *y, void *scratch, int n);
void norm_layers(const norm *v, const view *x, const view *y, void *scratch, int n);

/* y = the gradient at x, from g at the forward's y; + residual, which may be NULL.  x is measured again. */
void norm_groups_back(const norm *v, const view *g, const view *x, const view *residual, const view *y,
                      void *scratch, int n);
void norm_layers_back(const norm *v, const view *g, const view *x, const view *residual, const view *y,
                      void *scratch, int n);

#endif
