/* CARef, class-aware relative feature.  Ling et al., CVPR 2025, arXiv:2503.00325.
 *   S = -|h - m_y|_1 / |h|_1, y = argmax z, m_c = mean train feature of the rows predicted as c */
#include "common/mem.h"
#include "score/methods/caref.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

int caref_fit(fit_context *f, prototypes *q, const char *who)
{
    double *mean = NULL;
    int rc = prototypes_fit(q, f, CLASS_PREDICTED, who);
    if (rc != 0) return rc;
    rc = mem_new(&mean, f->d, sizeof *mean, "mean feature");
    if (rc < 0) return rc;
    fit_mean(f, mean);
    for (size_t k = 0; k < f->c; k++)
        for (size_t j = 0; f->predicted.count[k] == 0 && j < f->d; j++)
            q->m[k * f->d + j] = (float)mean[j];
    free(mean);
    return 0;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    prototypes *q = NULL;
    int rc = mem_new(&q, 1, sizeof *q, "CARef");
    (void)p;
    if (rc < 0) return rc;
    *state = q;
    return caref_fit(f, q, "caref");
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const prototypes *q = state;
    (void)p;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *h = b->h + i * b->d, *m = q->m + b->sums[i].argmax * b->d;
        double sum = 0, length = rows_l1(h, b->d);
        for (size_t j = 0; j < b->d; j++)
            sum += fabs((double)h[j] - (double)m[j]);
        sum /= length > 0 ? length : FLT_MIN;
        out[i] = sum < FLT_MAX ? (float)-sum : -FLT_MAX;
    }
    return 0;
}

static void release(void **state)
{
    if (*state != NULL) prototypes_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_caref = {
    .name = "caref",
    .title = "CARef",
    .formula = "-|h - m_y|_1 / |h|_1, y = argmax z, m_c = mean train feature of rows predicted as c",
    .paper = "Ling et al., CADRef: Robust Out-of-Distribution Detection via Class-Aware Decoupled Relative "
             "Feature Leveraging, CVPR 2025, arXiv:2503.00325",
    .quirks = "a class that no train row is predicted as has the mean of all; a zero row gets the least f32",
    .groups = "pytorch-ood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_TRAIN,
    .stats = STAT_PREDICTED | STAT_MEAN,
    .fit = fit,
    .score = score,
    .free = release,
};
