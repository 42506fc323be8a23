/* SHE, simplified Hopfield energy.  Zhang et al., ICLR 2023.
 *   S = <h, m_y>, y = argmax z, m_c = mean of the train features of class c that are predicted as c
 * or minus the Euclidean distance, or the cosine. */
#include "common/mem.h"
#include "score/stats/prototypes.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int fit(fit_context *f, const method_params *p, void **state)
{
    prototypes *q = NULL;
    int rc = mem_new(&q, 1, sizeof *q, "SHE");
    (void)p;
    if (rc < 0) return rc;
    *state = q;
    return prototypes_fit(q, f, CLASS_CORRECT, "she");
}

static double distance(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += ((double)a[j] - (double)b[j]) * ((double)a[j] - (double)b[j]);
    return sqrt(sum);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const prototypes *q = state;
    char metric = param_text(p, "metric")[0];
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *h = b->h + i * b->d, *m = q->m + b->sums[i].argmax * b->d;
        double s, length;
        if (metric == 'e') s = -distance(h, m, b->d);
        else s = rows_dot(h, m, b->d);
        if (metric == 'c') {
            length = sqrt(rows_square(h, b->d)) * q->norm[b->sums[i].argmax];
            s = length > 0 ? s / length : 0;
        }
        out[i] = (float)s;
    }
    return 0;
}

static void release(void **state)
{
    if (*state != NULL) prototypes_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_she = {
    .name = "she",
    .title = "SHE",
    .formula = "<h, m_y>, y = argmax z, m_c = mean train feature of class c predicted as c",
    .paper = "Zhang et al., Out-of-Distribution Detection based on In-Distribution Data Patterns "
             "Memorization with Modern Hopfield Energy, ICLR 2023",
    .quirks = "a class that is never predicted rightly has the zero vector (NaN in OpenOOD)",
    .groups = "seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_CORRECT,
    .opts = (const method_opt[]){{"metric", "inner", "inner, euclidean or cosine", 0, 0,
                                  "inner|euclidean|cosine", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
