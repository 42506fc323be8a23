/* LINe.  Ahn, Park and Kim, CVPR 2023, arXiv:2303.13995.
 *   A_cd = W_cd m_cd, m_c = mean train feature of class c (true labels): its contribution to the own logit
 *   h' = min(h, clip), y = argmax W h' + b
 *   z_c = b_c + sum_d h'_d W_cd over d with A_yd > percentile p_a of A_y
 *                               and |A_yd| W_cd > percentile p_w of all |A_yd| W_cd of class y
 *   S = logsumexp(z)
 * For one y and d both conditions are one, W_cd > least_yd: an f32 that is found once, so no mask is ever
 * built.  A class without train rows masks nothing. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/products.h"
#include "score/stats/shaped.h"
#include "score/stats/topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 8 }; /* rows that share a part of W in the cache */

typedef struct state_type {
    float *least; /* [c,d] */
    float clip;
    budget *mem;
} state_type;

/* The largest f32 w with !(a w > t), a > 0, products rounded to f64. */
static float largest_below(double a, double t)
{
    float w = (float)(t / a);
    while (a * (double)w > t)
        w = nextafterf(w, -INFINITY);
    while (w < INFINITY && !(a * (double)nextafterf(w, INFINITY) > t))
        w = nextafterf(w, INFINITY);
    return w;
}

/* a [d] contributions of one class, t the threshold of the products; row [d] is scratch. */
static void conditions(const double *a, size_t d, double p_a, double t, double *row, float *least)
{
    double least_a;
    memcpy(row, a, d * sizeof *row);
    least_a = select_quantile(row, d, p_a);
    for (size_t j = 0; j < d; j++) {
        double size = fabs(a[j]);
        if (!(a[j] > least_a)) least[j] = INFINITY;
        else if (size == 0) least[j] = t < 0 ? -INFINITY : INFINITY;
        else least[j] = largest_below(size, t);
    }
}

static int find_conditions(fit_context *f, const method_params *p, state_type *s)
{
    int rc = 0;
    const head *w = f->o->head;
    size_t c = w->c, d = w->d, absent = 0;
    double *a = NULL, *size = NULL, *t = NULL, *row = NULL;
    double p_w = param_double(p, "weights") / 100, p_a = param_double(p, "neurons") / 100;
    TRY(budget_new(f->mem, &a, c * d, sizeof *a, "contributions"));
    TRY(budget_new(f->mem, &size, c * d, sizeof *size, "contributions"));
    TRY(budget_new(f->mem, &t, c, sizeof *t, "contributions"));
    TRY(budget_new(f->mem, &row, d, sizeof *row, "contributions"));
    TRY(fit_class_means(f, CLASS_TRUE, a, &absent));
    if (rc == FIT_REFUSED) goto done;
    if (absent > 0) log_info("line: %zu of %zu classes have no train row and mask nothing", absent, c);
    for (size_t i = 0; i < c * d; i++) {
        a[i] *= (double)w->w[i];
        size[i] = fabs(a[i]);
    }
    TRY(products_quantile(size, c, w->w, c, d, p_w, f->mem, t));
    TRY(budget_new(f->mem, &s->least, c * d, sizeof *s->least, "conditions of LINe"));
    for (size_t k = 0; k < c * d; k++)
        s->least[k] = -INFINITY;
    for (size_t y = 0; y < c; y++)
        if (fit_class_sums(f, CLASS_TRUE)->count[y] > 0)
            conditions(a + y * d, d, p_a, t[y], row, s->least + y * d);
done:
    budget_free(f->mem, &a);
    budget_free(f->mem, &size);
    budget_free(f->mem, &t);
    budget_free(f->mem, &row);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    state_type *s = NULL;
    int rc = mem_new(&s, 1, sizeof *s, "LINe");
    if (rc < 0) return rc;
    *state = s;
    s->mem = f->mem;
    s->clip = (float)param_double(p, "clip");
    return find_conditions(f, p, s);
}

/* Logits of rows [begin, end) of h, whose classes are in of. */
static void masked_logits(const score_block *b, const state_type *s, const row_sums *of, size_t begin,
                          size_t end, const float *h, float *z)
{
    const rowmath *m = rowmath_best();
    const head *w = b->cache->f->o->head;
    size_t c = b->c, d = b->d;
    for (size_t k = 0; k < c; k += 4) {
        int four = k + 4 <= c;
        for (size_t i = begin; i < end; i++) {
            const float *least = s->least + of[i].argmax * d;
            for (size_t l = 0; l < 4 && k + l < c; l += four ? 4 : 1) {
                float dots[4];
                m->dots_above(d, w->w + (k + l) * d, four ? d : 0, h + i * d, least, dots);
                for (size_t q = 0; q < (four ? 4u : 1u); q++)
                    z[i * c + k + l + q] = dots[q] + w->b[k + l + q];
            }
        }
    }
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    const clipped_block *clipped;
    float *h, *z;
    size_t d = b->d;
    (void)p;
    TRY(block_clipped(b, s->clip, &clipped));
    TRY(block_work(b, 1, b->cache->rows * d, &h));
    TRY(block_work(b, 2, b->cache->rows * b->c, &z));
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t begin = 0; begin < b->n; begin += TILE) {
        size_t end = begin + TILE < b->n ? begin + TILE : b->n;
        for (size_t j = begin * d; j < end * d; j++)
            h[j] = b->h[j] > s->clip ? s->clip : b->h[j];
        masked_logits(b, s, clipped->sums, begin, end, h, z);
    }
    energy_of_logits(b, z, out);
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->mem != NULL) budget_free(s->mem, &s->least);
    free(s);
    *state = NULL;
}

const method method_line = {
    .name = "line",
    .title = "LINe",
    .formula = "logsumexp over d of h'_d W_cd, neurons and weights masked for the predicted class",
    .paper = "Ahn, Park and Kim, LINe: Out-of-Distribution Detection by Leveraging Important Neurons, "
             "CVPR 2023, arXiv:2303.13995",
    .quirks = "the class is predicted from clipped features; ImageNet ResNet-50: 10, 10, 0.8; CIFAR-10: 90, "
              "90, 1.0; CIFAR-100: 90, 10, 1.0",
    .groups = "seeds",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .stats = STAT_TRUE,
    .opts = (const method_opt[]){{"weights", "10", "percentile p_w of weights", 0, 100, NULL, 0},
                                 {"neurons", "10", "percentile p_a of neurons", 0, 100, NULL, 0},
                                 {"clip", "0.8", "clip of the features", -1e30, 1e30, NULL, 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
