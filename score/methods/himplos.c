/* HIMPLoS, classifier-head informed feature masking and prototype-based logit smoothing.
 * Sun et al. 2023, arXiv:2310.18104.   y = argmax z, features h as they are
 *   mask    h' = min(h o M_y, lambda), M_yd = W_yd >= percentile p of row W_y
 *   smooth  z' = z cos(h, m_y), m_c = mean train feature of class c (true labels)
 *   both    z' = (W h' + b) cos(h, m_y)
 *   S = logsumexp(z')  */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"
#include "score/stats/shaped.h"
#include "score/stats/topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    prototypes q;
    double *least; /* [c] percentile of each row of W */
    const float *w;
    float clip;
    int mask, smooth;
} state_type;

static unsigned waives(const method_params *p)
{
    return strcmp(param_text(p, "part"), "mask") == 0 ? NEEDS_TRAIN | NEEDS_TRAIN_LABELS : 0;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    const head *w = f->o->head;
    state_type *s = NULL;
    float *row = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "HIMPLoS"));
    *state = s;
    s->w = w->w;
    s->mask = strcmp(param_text(p, "part"), "smooth") != 0;
    s->smooth = strcmp(param_text(p, "part"), "mask") != 0;
    s->clip = (float)param_double(p, "lambda");
    TRY(mem_new(&s->least, w->c, sizeof *s->least, "masks"));
    TRY(mem_new(&row, w->d, sizeof *row, "masks"));
    for (size_t k = 0; k < w->c; k++) {
        memcpy(row, w->w + k * w->d, w->d * sizeof *row);
        s->least[k] = select_quantile_f32(row, w->d, param_double(p, "percentile") / 100);
    }
    if (s->smooth) TRY(prototypes_fit(&s->q, f, CLASS_TRUE, "himplos"));
done:
    free(row);
    return rc;
}

static void shape(const void *arg, const score_block *b, size_t i, float *h)
{
    const state_type *s = arg;
    const float *from = b->h + i * b->d, *w = s->w + b->sums[i].argmax * b->d;
    double least = s->least[b->sums[i].argmax];
    for (size_t j = 0; j < b->d; j++) {
        float v = (double)w[j] >= least ? from[j] : 0;
        h[j] = v > s->clip ? s->clip : v;
    }
}

/* torch's cosine similarity: 0 against a zero vector */
static float cosine(const prototypes *q, const float *h, size_t k)
{
    double length = q->norm[k] * sqrt(rows_square(h, q->d));
    return (float)(rows_dot(h, q->m + k * q->d, q->d) / fmax(length, 1e-8));
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    float *z;
    (void)p;
    if (s->mask) TRY(shaped_logits(b, &(shaping){.shape = shape, .arg = s}, &z));
    else {
        TRY(block_work(b, 2, b->cache->rows * b->c, &z));
        memcpy(z, b->z, b->n * b->c * sizeof *z);
    }
    if (s->smooth) {
#pragma omp parallel for
        for (size_t i = 0; i < b->n; i++) {
            float t = cosine(&s->q, b->h + i * b->d, b->sums[i].argmax);
            for (size_t k = 0; k < b->c; k++)
                z[i * b->c + k] *= t;
        }
    }
    energy_of_logits(b, z, out);
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    prototypes_clear(&s->q);
    free(s->least);
    free(s);
    *state = NULL;
}

const method method_himplos = {
    .name = "himplos",
    .title = "HIMPLoS",
    .formula = "logsumexp((W min(h o M_y, lambda) + b) cos(h, m_y)), M_y = the larger weights of row y",
    .paper = "Sun et al., Classifier-head Informed Feature Masking and Prototype-based Logit Smoothing "
             "for Out-of-Distribution Detection, 2023, arXiv:2310.18104",
    .quirks = "the bias is scaled too; part=mask and part=smooth are its two halves; ImageNet ResNet-50: "
              "30 and 0.8, CIFAR DenseNet: 60 and 1.6; a class without train rows has cosine 0",
    .groups = "seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_TRUE,
    .waives = waives,
    .opts = (const method_opt[]){{"percentile", "30", "percentage of a row's weights that is masked", 0,
                                  100, NULL, 0},
                                 {"lambda", "0.8", "clip of the features", -1e30, 1e30, NULL, 0},
                                 {"part", "both", "mask, smooth or both", 0, 0, "both|mask|smooth", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
