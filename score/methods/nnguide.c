/* NNGuide, nearest neighbour guidance.  Park, Jung and Teoh, ICCV 2023, arXiv:2309.14888.
 *   S = logsumexp(z) mean of the K largest <g_i, h/|h|>, g_i = logsumexp(z_i) x_i/|x_i| over a bank of train
 *   rows
 * The bank is a draw without order: OpenOOD takes whole batches of 200 from a shuffled loader until they hold
 * more than alpha N rows, the authors alpha N rows. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/bank.h"
#include "score/stats/draw.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"
#include "score/stats/topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 200, TILE = LINALG_TILE_ROWS };

typedef struct state_type {
    float *bank; /* [n,d] */
    size_t n, k;
    linalg_matrix *kept;
    linalg *la;
    budget *mem;
} state_type;

/* unit = h / |h| + 1e-10, as KNN of OpenOOD; the zero vector stays (NaN there). */
static void unit_row(const float *h, size_t d, float scale, float *unit)
{
    double length = sqrt(rows_square(h, d)), inverse = length > 0 ? 1 / length : 0;
    for (size_t j = 0; j < d; j++)
        unit[j] = ((float)((double)h[j] * inverse) + 1e-10f) * scale;
}

/* The rows of the bank, TRAIN_ROWS at a time. */
static int fill_bank(fit_context *f, const size_t *row, state_type *s)
{
    int rc = 0;
    size_t d = f->d, c = f->c;
    const source *train = f->o->train;
    const rowmath *m = rowmath_best();
    float *h = NULL, *z = NULL;
    TRY(budget_new(f->mem, &h, TRAIN_ROWS * d, sizeof *h, "rows of the bank"));
    TRY(budget_new(f->mem, &z, TRAIN_ROWS * c, sizeof *z, "rows of the bank"));
    for (size_t begin = 0; begin < s->n; begin += TRAIN_ROWS) {
        size_t n = s->n - begin < TRAIN_ROWS ? s->n - begin : TRAIN_ROWS;
        TRY(bank_features(train, row + begin, n, h));
        if (logits_stored(f->o, train)) TRY(bank_logits(train, row + begin, n, z));
        else TRY(logits_compute(f, h, n, z));
        for (size_t i = 0; i < n; i++) {
            row_sums sums;
            m->softmax(z + i * c, c, NULL, &sums);
            unit_row(h + i * d, d, (float)sums.lse, s->bank + (begin + i) * d);
        }
    }
done:
    budget_free(f->mem, &h);
    budget_free(f->mem, &z);
    return rc;
}

static size_t bank_size(const method_params *p, size_t rows)
{
    size_t n = (size_t)(param_double(p, "alpha") * (double)rows);
    if (strcmp(param_text(p, "bank"), "openood") == 0) n = n / BATCH * BATCH + BATCH;
    n = n > rows ? rows : n;
    return n > 0 ? n : 1;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t *row = NULL, rows = f->o->train->n;
    linalg_values v = {.k = f->d};
    TRY(mem_new(&s, 1, sizeof *s, "NNGuide"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->n = v.n = bank_size(p, rows);
    s->k = (size_t)param_int(p, "k");
    if (s->k > s->n) {
        log_info("nnguide: k = %zu of a bank of %zu: the mean of all", s->k, s->n);
        s->k = s->n;
    }
    TRY(mem_new(&row, s->n, sizeof *row, "rows of the bank"));
    if (strcmp(param_text(p, "order"), "list") == 0)
        for (size_t i = 0; i < s->n; i++)
            row[i] = i;
    else draw_sample((uint64_t)param_int(p, "seed"), rows, s->n, row);
    TRY(budget_new(f->mem, &s->bank, s->n * f->d, sizeof *s->bank, "bank of NNGuide"));
    TRY(fill_bank(f, row, s));
    v.f32 = s->bank;
    v.f32_only = 1;
    TRY(f->la->ops->keep(f->la, &s->kept, &v));
done:
    free(row);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    size_t d = b->d;
    float *unit, *dot;
    (void)p;
    TRY(block_work(b, 1, TILE * d, &unit));
    TRY(block_work(b, 2, TILE * s->n, &dot));
    for (size_t begin = 0; begin < b->n; begin += TILE) {
        size_t n = b->n - begin < TILE ? b->n - begin : TILE;
#pragma omp parallel for
        for (size_t i = 0; i < n; i++)
            unit_row(b->h + (begin + i) * d, d, 1, unit + i * d);
        TRY(s->la->ops->product(s->la, s->kept, unit, n, dot));
#pragma omp parallel for
        for (size_t i = 0; i < n; i++)
            out[begin + i] = (float)(b->sums[begin + i].lse *
                                     (topk_sum(dot + i * s->n, s->n, s->k) / (double)s->k));
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) s->la->ops->drop(s->la, &s->kept);
    if (s->mem != NULL) budget_free(s->mem, &s->bank);
    free(s);
    *state = NULL;
}

const method method_nnguide = {
    .name = "nnguide",
    .title = "NNGuide",
    .formula = "logsumexp(z) mean of the K largest <g_i, h/|h|>, g_i = logsumexp(z_i) x_i/|x_i| of a train "
               "sample",
    .paper = "Park, Jung and Teoh, Nearest Neighbor Guidance for Out-of-Distribution Detection, ICCV 2023, "
             "arXiv:2309.14888",
    .quirks = "OpenOOD: k = 100, the authors: bank=authors:k=10; which rows are drawn is a matter of the "
              "seed (nobody's in OpenOOD); order=list takes the first ones",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_TRAIN,
    .opts = (const method_opt[]){{"alpha", "0.01", "part of the train rows in the bank", 0, 1, NULL, 0},
                                 {"k", "100", "how many of the largest count", 1, 1e9, NULL, 1},
                                 {"bank", "openood", "openood: whole batches of 200; authors: alpha N", 0, 0,
                                  "openood|authors", 0},
                                 {"order", "random", "random, or list: the first rows", 0, 0, "random|list",
                                  0},
                                 {"seed", "1", "of the draw", 0, 9007199254740992.0, NULL, 1},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
