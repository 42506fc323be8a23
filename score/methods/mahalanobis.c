/* Mahalanobis distance to the nearest class mean, on the penultimate feature.
 * Lee et al., NeurIPS 2018, arXiv:1807.03888, simplified as by Fort et al. 2021, arXiv:2106.03004.
 *   S = -min_k (h - m_k)' P (h - m_k), P = pinvh(Sigma), Sigma = 1/N sum (x - m_y)(x - m_y)'
 * True labels; rows without one are left out, and so are classes without rows.  Features are whitened
 * once, a product gives all distances, and the classes that may be the nearest are measured again
 * without the expansion, which cancels.  A distance beyond f32 gives minus infinity. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/shared.h"
#include "score/stats/within.h"

#include <stdlib.h>

typedef struct state_type {
    whitening w;
    budget *mem;
} state_type;

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    (void)p;
    TRY(mem_new(&s, 1, sizeof *s, "Mahalanobis"));
    s->mem = f->mem;
    *state = s;
    rc = within_fit(f, &s->w);
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const whitening *w = &((state_type *)state)->w;
    float *room;
    double *least;
    (void)p;
    TRY(block_work(b, 0, 2 * b->cache->rows, &room));
    least = (double *)(void *)room;
    TRY(w->la->ops->nearest(w->la, w->kept_a, w->kept_centre, w->kept_mean, w->kept_norm, b->h, b->n,
                            least));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)-(w->unit * least[i]);
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    within_clear(&s->w, s->mem);
    free(s);
    *state = NULL;
}

const method method_mahalanobis = {
    .name = "mahalanobis",
    .title = "Mahalanobis",
    .formula = "-min_k (h - m_k)' P (h - m_k), P = pinvh(1/N sum (x - m_y)(x - m_y)')",
    .paper = "Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
             "Adversarial Attacks, NeurIPS 2018, arXiv:1807.03888",
    .quirks =
        "penultimate feature only, true labels, divided by N; the published f32 scores on GPUs "
        "may have used TF32 (1e-3 relative)",
    .groups = "gen vim seeds",
    .needs = NEEDS_FEATURES | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_SECOND | STAT_CLASSES,
    .fit = fit,
    .score = score,
    .free = release,
};
