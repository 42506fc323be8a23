/* GROOD, gradients towards an OOD prototype.  ElAraby et al., TMLR 2025, arXiv:2312.14427, in closed form.
 *   s_c = -|h - m_c| for the class means m_c of train, s_o = -|h - m_o|, m_o = mean of the first held-out OOD rows
 *   g(h) = q_o (h - m_o) / |h - m_o|, q = softmax(s)
 *   S = -least |g(h) - g(x)|^2 over the train rows x that are predicted as labelled
 * Distances to the class means in f64.  Gradients are kept at 1 / (largest q_o of train) of their size, rounded to
 * f32, and searched exactly. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>

typedef struct state_type {
    double *mean; /* [k,d] of the classes that have rows */
    double *ood;  /* [d] */
    size_t k, d, seen, wanted, rows;
    double scale;
    const int64_t *labels;
    float *g; /* [TRAIN_ROWS,d] */
    linalg_bank *bank;
    linalg *la;
    budget *mem;
} state_type;

static double distance(const float *h, const double *m, size_t d)
{
    double lane[8] = {0}, sum = 0;
    size_t j = 0;
    for (; j + 8 <= d; j += 8)
        for (size_t l = 0; l < 8; l++)
            lane[l] += ((double)h[j + l] - m[j + l]) * ((double)h[j + l] - m[j + l]);
    for (; j < d; j++)
        lane[0] += ((double)h[j] - m[j]) * ((double)h[j] - m[j]);
    for (size_t l = 0; l < 8; l++)
        sum += lane[l];
    return sqrt(sum);
}

/* q_o and |h - m_o| */
static double share(const state_type *s, const float *h, double *length)
{
    double sum = 1;
    *length = distance(h, s->ood, s->d);
    for (size_t k = 0; k < s->k; k++)
        sum += exp(*length - distance(h, s->mean + k * s->d, s->d));
    return 1 / sum;
}

static void gradient(const state_type *s, const float *h, float *g)
{
    double length, q = share(s, h, &length) * s->scale;
    for (size_t j = 0; j < s->d; j++)
        g[j] = length > 0 ? (float)(q * ((double)h[j] - s->ood[j]) / length) : 0;
}

/* ---- fit --------------------------------------------------------------------------------------- */

static int add_ood(void *arg, size_t begin, size_t n, size_t d, const float *h)
{
    int rc = 0;
    state_type *s = arg;
    (void)begin;
    for (size_t i = 0; i < n && s->seen < s->wanted; i++, s->seen++)
        for (size_t j = 0; j < d; j++)
            s->ood[j] += (double)h[i * d + j];
    return rc;
}

static int is_right(const state_type *s, const score_block *b, size_t i)
{
    return s->labels[b->row + i] == (int64_t)b->sums[i].argmax;
}

static int find_scale(void *arg, const score_block *b)
{
    state_type *s = arg;
    double top = s->scale;
    size_t rows = 0;
#pragma omp parallel for reduction(max : top) reduction(+ : rows)
    for (size_t i = 0; i < b->n; i++) {
        double length;
        if (!is_right(s, b, i)) continue;
        top = fmax(top, share(s, b->h + i * b->d, &length));
        rows++;
    }
    s->scale = top;
    s->rows += rows;
    return 0;
}

static int add_gradients(void *arg, const score_block *b)
{
    state_type *s = arg;
    size_t n = 0, at[TRAIN_ROWS];
    for (size_t i = 0; i < b->n; i++)
        if (is_right(s, b, i)) at[n++] = i;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        gradient(s, b->h + at[i] * b->d, s->g + i * b->d);
    return n > 0 ? s->la->ops->bank_add(s->la, s->bank, s->g, n) : 0;
}

static int class_means(fit_context *f, state_type *s)
{
    int rc = 0;
    size_t absent, kept = 0;
    TRY(budget_new(f->mem, &s->mean, f->c * s->d, sizeof *s->mean, "class means"));
    TRY(fit_class_means(f, CLASS_TRUE, s->mean, &absent));
    if (rc == FIT_REFUSED) goto done;
    for (size_t k = 0; k < f->c; k++) {
        if (fit_class_sums(f, CLASS_TRUE)->count[k] == 0) continue;
        for (size_t j = 0; j < s->d && kept != k; j++)
            s->mean[kept * s->d + j] = s->mean[k * s->d + j];
        kept++;
    }
    s->k = kept;
    if (absent > 0) log_info("grood: %zu of %zu classes have no train row and are left out", absent, f->c);
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    const engine_options *o = f->o;
    state_type *s = NULL;
    TRY(mem_new(&s, 1, sizeof *s, "GROOD"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->d = f->d;
    s->labels = o->train->labels;
    s->wanted = (size_t)param_int(p, "rows");
    TRY(class_means(f, s));
    if (rc == FIT_REFUSED) goto done;
    TRY(budget_zeroed(f->mem, &s->ood, s->d, sizeof *s->ood, "OOD prototype"));
    for (size_t i = 0; i < o->n_val_ood && s->seen < s->wanted; i++)
        TRY(rows_each(o->val_ood[i], f->mem, add_ood, s));
    for (size_t j = 0; j < s->d; j++)
        s->ood[j] /= (double)s->seen;
    TRY(fit_each_block(f, o->train, find_scale, s));
    if (s->rows == 0) {
        rc = fit_refuse(f, "no train row is predicted as labelled");
        goto done;
    }
    s->scale = s->scale > 0 ? 1 / s->scale : 1;
    TRY(budget_new(f->mem, &s->g, TRAIN_ROWS * s->d, sizeof *s->g, "gradients"));
    TRY(f->la->ops->bank_new(f->la, &s->bank, s->rows, s->d));
    TRY(fit_each_block(f, o->train, add_gradients, s));
done:
    return rc;
}

/* ---- score ------------------------------------------------------------------------------------- */

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    size_t first = 0;
    float *g, *room;
    double *least;
    (void)p;
    TRY(block_work(b, 0, b->cache->rows * b->d, &g));
    TRY(block_work(b, 1, 2 * b->cache->rows, &room));
    least = (double *)(void *)room;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        gradient(s, b->h + i * b->d, g + i * b->d);
    TRY(s->la->ops->neighbours(s->la, s->bank, &first, 1, g, b->n, least, NULL));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)-(least[i] / s->scale / s->scale);
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) s->la->ops->bank_drop(s->la, &s->bank);
    if (s->mem != NULL) {
        budget_free(s->mem, &s->mean);
        budget_free(s->mem, &s->ood);
        budget_free(s->mem, &s->g);
    }
    free(s);
    *state = NULL;
}

const method method_grood = {
    .name = "grood",
    .title = "GROOD",
    .formula = "-least |g(h) - g(x)|^2 over train, g = q_o (h - m_o) / |h - m_o|, q = softmax of -|h - m_c| and -|h - m_o|",
    .paper = "ElAraby et al., GROOD: Gradient-Aware Out-of-Distribution Detection, TMLR 2025, arXiv:2312.14427",
    .quirks = "looks at held-out OOD rows, as OpenOOD's default does: their first batch of 200; the nearest gradient "
              "is exact (an approximate index there); the last layer only",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_TRAIN | NEEDS_TRAIN_LABELS | NEEDS_VAL_OOD,
    .stats = STAT_TRUE,
    .opts = (const method_opt[]){{"rows", "200", "held-out OOD rows that make the prototype", 1, 1e9, NULL, METHOD_WHOLE},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
