/* Fit once, then one pass over every test set for all methods. */
#include "score/engine.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/fit.h"
#include "score/stats/logits.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows of a test block (more for a device, whose copies then overlap), from the memory that is left after the fit and, so that every thread finds a
 * tile, from the threads; multiples of a tile, so that scores do not depend on it. */
enum { BLOCK_MIN = LINALG_TILE_ROWS, BLOCK_MAX = 2048, BLOCK_DEVICE = 8192, ROWS_PER_THREAD = 128 };

typedef struct run {
    const engine_options *o;
    method_use *uses;
    size_t n;     /* uses */
    void **state; /* [n] */
    scored_use *together; /* [n] scratch */
    size_t *held; /* [n] bytes that fit left behind */
    engine_result *result;
    budget mem;
    fit_context fit;
    block_cache cache;
    unsigned needs; /* of all methods that run */
    size_t rows;    /* of a block */
    float *h, *z, *p, *lse, *zmax;
    double *plogp;
    row_sums *sums;
} run;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const source *set_at(const engine_options *o, size_t i)
{
    return i == 0 ? o->id : o->ood[i - 1];
}

/* ---- what can run ---------------------------------------------------------------------------- */

/* Writes to `why` the first set that lacks what is needed. */
static int lacks(const engine_options *o, unsigned needs, const source *s, char *why, size_t room)
{
    if ((needs & NEEDS_FEATURES) && s->d == 0) {
        snprintf(why, room, "set '%s' has no features", s->name);
        return 1;
    }
    if ((needs & NEEDS_LOGITS) && !logits_available(o, s)) {
        snprintf(why, room, "set '%s' has no logits%s", s->name,
                 s->d > 0 ? " (give --head to compute them from its features)" : "");
        return 1;
    }
    return 0;
}

static unsigned needs_of(const method_use *u)
{
    return u->m->waives != NULL ? u->m->needs & ~u->m->waives(&u->params) : u->m->needs;
}

static int lacks_tables(const engine_options *o, method_use *u, enum tables_role role, const source *s)
{
    char options[2][400];
    int without = u->m->lacks != NULL ? u->m->lacks(&u->params, role, o->id, s, u->why, sizeof u->why) : TABLES_UNREAD;
    if (without == TABLES_UNREAD) return 0;
    if (without) return 1;
    if (u->m->probe == NULL || s == o->id) return 0;
    source_probe_options(o->id, u->m->probe, options[0], sizeof options[0]);
    source_probe_options(s, u->m->probe, options[1], sizeof options[1]);
    if (role != TABLES_TEST || *options[0] == '\0' || *options[1] == '\0' ||
        strcmp(options[0], options[1]) == 0)
        return 0;
    snprintf(u->why, sizeof u->why, "probe %s was run with different options for the sets '%s' and '%s'",
             u->m->probe, o->id->name, s->name);
    return 1;
}

/* Tables of /probes, of every set that is read. */
static void check_tables(const engine_options *o, method_use *u, unsigned needs)
{
    int without = 0;
    for (size_t i = 0; i <= o->n_ood && !without; i++)
        without = lacks_tables(o, u, TABLES_TEST, set_at(o, i));
    if (!without && (needs & NEEDS_TRAIN)) without = lacks_tables(o, u, TABLES_TRAIN, o->train);
    if (!without && (needs & (NEEDS_VAL | NEEDS_VAL_LABELS)))
        without = lacks_tables(o, u, TABLES_VAL, o->val_id);
    for (size_t i = 0; !without && (needs & NEEDS_VAL_OOD) && i < o->n_val_ood; i++)
        without = lacks_tables(o, u, TABLES_VAL_OOD, o->val_ood[i]);
    if (without) u->skipped = u->why;
}

static void check_needs(const engine_options *o, method_use *u)
{
    unsigned needs = needs_of(u);
    const char *why = NULL;
    u->skipped = NULL;
    if ((needs & NEEDS_HEAD) && o->head == NULL) why = "needs the classifier head (--head, or features of extract, which have it)";
    else if ((needs & NEEDS_TRAIN) && o->train == NULL) why = "needs train features (--train; extract run over a list of train images)";
    else if ((needs & NEEDS_TRAIN_LABELS) && (o->train == NULL || o->train->labels == NULL))
        why = "needs the true labels of the train set (--labels, or a list with labels for extract)";
    else if ((needs & (NEEDS_VAL | NEEDS_VAL_LABELS)) && o->val_id == NULL)
        why = "needs held-out ID features (--val-id; extract run over images apart from test)";
    else if ((needs & NEEDS_VAL_LABELS) && o->val_id->labels == NULL)
        why = "needs the true labels of the validation set (--val-labels, or a list with labels for extract)";
    else if ((needs & NEEDS_VAL_OOD) && o->n_val_ood == 0)
        why = "needs held-out OOD features (--val-ood; extract run over OOD images apart from test)";
    if (why != NULL) {
        snprintf(u->why, sizeof u->why, "%s", why);
        u->skipped = u->why;
        return;
    }
    for (size_t i = 0; i <= o->n_ood && u->skipped == NULL; i++)
        if (lacks(o, needs, set_at(o, i), u->why, sizeof u->why)) u->skipped = u->why;
    if (u->skipped == NULL && (needs & NEEDS_TRAIN) &&
        lacks(o, needs, o->train, u->why, sizeof u->why))
        u->skipped = u->why;
    if (u->skipped == NULL && (needs & (NEEDS_VAL | NEEDS_VAL_LABELS)) &&
        lacks(o, needs, o->val_id, u->why, sizeof u->why))
        u->skipped = u->why;
    for (size_t i = 0; u->skipped == NULL && (needs & NEEDS_VAL_OOD) && i < o->n_val_ood; i++)
        if (lacks(o, needs, o->val_ood[i], u->why, sizeof u->why)) u->skipped = u->why;
    if (u->skipped == NULL) check_tables(o, u, needs);
}

static int check_shapes(const engine_options *o)
{
    int rc = 0;
    size_t d = o->head != NULL ? o->head->d : o->id->d, c = o->head != NULL ? o->head->c : o->id->c;
    const char *like = o->head != NULL ? "the head" : "the ID set";
    for (size_t i = 0; i <= o->n_ood; i++)
        TRY(rows_check_shape(set_at(o, i), d, c, like));
    if (o->train != NULL) TRY(rows_check_shape(o->train, d, c, like));
    if (o->val_id != NULL) TRY(rows_check_shape(o->val_id, d, c, like));
    for (size_t i = 0; i < o->n_val_ood; i++)
        TRY(rows_check_shape(o->val_ood[i], d, c, like));
    for (size_t i = 0; o->head != NULL && i < o->head->c * o->head->d; i++)
        CHECK(o->head->w[i] - o->head->w[i] == 0, ERR_INPUT, "head: weight [%zu,%zu] is not finite",
              i / d, i % d);
    for (size_t i = 0; o->head != NULL && i < o->head->c; i++)
        CHECK(o->head->b[i] - o->head->b[i] == 0, ERR_INPUT, "head: bias [%zu] is not finite", i);
done:
    return rc;
}

/* ---- fit ------------------------------------------------------------------------------------- */

/* Memory of one method: the most that is held from here on, less what is held now. */
static size_t mark_memory(run *r)
{
    r->mem.high = r->mem.used;
    return r->mem.used;
}

static void note_memory(run *r, size_t i, size_t mark)
{
    size_t took = r->mem.high - mark + r->held[i];
    if (took > r->uses[i].peak_bytes) r->uses[i].peak_bytes = took;
}

static int fit_all(run *r)
{
    int rc = 0;
    unsigned stats = 0;
    size_t mark;
    double start = seconds();
    for (size_t i = 0; i < r->n; i++)
        if (r->uses[i].skipped == NULL && (needs_of(&r->uses[i]) & NEEDS_TRAIN))
            stats |= r->uses[i].m->stats;
    TRY(fit_open(&r->fit, r->o, stats, &r->mem));
    r->result->pass_seconds = seconds() - start;
    for (size_t i = 0; i < r->n; i++)
        if (r->uses[i].skipped == NULL && r->uses[i].m->plan != NULL)
            TRY(r->uses[i].m->plan(&r->fit, &r->uses[i].params));
    for (size_t i = 0; i < r->n; i++) {
        method_use *u = &r->uses[i];
        if (u->skipped != NULL || u->m->fit == NULL) continue;
        start = seconds();
        mark = mark_memory(r);
        TRY(u->m->fit(&r->fit, &u->params, &r->state[i]));
        u->fit_seconds = seconds() - start;
        u->peak_bytes = r->mem.high - mark;
        r->held[i] = r->mem.used > mark ? r->mem.used - mark : 0;
        if (rc != FIT_REFUSED) continue;
        memcpy(u->why, r->fit.refusal, sizeof u->why);
        u->skipped = u->why;
        rc = 0;
    }
    fit_done(&r->fit);
done:
    return rc;
}

/* ---- score ----------------------------------------------------------------------------------- */

static int open_blocks(run *r)
{
    int rc = 0;
    size_t d = r->fit.d, c = r->fit.c, per_row, rows, most;
    for (size_t i = 0; i < r->n; i++)
        if (r->uses[i].skipped == NULL) r->needs |= r->uses[i].m->needs;
    /* features, shaped, centred, projected; logits, softmax, clipped twice, products */
    per_row = sizeof(float) * (4 * d + 7 * c + 64) + 4 * sizeof(row_sums);
    rows = budget_left(&r->mem) / 2 / (per_row > 0 ? per_row : 1);
    most = (size_t)omp_get_max_threads() * ROWS_PER_THREAD;
    most = r->fit.la->ops->device ? BLOCK_DEVICE : most > BLOCK_MAX ? BLOCK_MAX : most;
    rows = rows > most ? most : rows;
    r->rows = rows < BLOCK_MIN ? BLOCK_MIN : rows - rows % LINALG_TILE_ROWS;
    block_cache_open(&r->cache, &r->fit, r->rows);
    TRY(budget_new(&r->mem, &r->h, r->rows * d, sizeof *r->h, "block of features"));
    TRY(budget_new(&r->mem, &r->z, r->rows * c, sizeof *r->z, "block of logits"));
    TRY(budget_new(&r->mem, &r->p, r->rows * c, sizeof *r->p, "block of probabilities"));
    TRY(budget_new(&r->mem, &r->lse, r->rows, sizeof *r->lse, "block"));
    TRY(budget_new(&r->mem, &r->zmax, r->rows, sizeof *r->zmax, "block"));
    TRY(budget_new(&r->mem, &r->plogp, r->rows, sizeof *r->plogp, "block"));
    TRY(budget_new(&r->mem, &r->sums, r->rows, sizeof *r->sums, "block"));
done:
    return rc;
}

static void close_blocks(run *r)
{
    budget *m = &r->mem;
    block_cache_close(&r->cache);
    budget_free(m, &r->h);
    budget_free(m, &r->z);
    budget_free(m, &r->p);
    budget_free(m, &r->lse);
    budget_free(m, &r->zmax);
    budget_free(m, &r->plogp);
    budget_free(m, &r->sums);
}

/* Reads rows, computes logits and softmax, notes predictions. */
static int load_block(run *r, const source *s, size_t begin, size_t n, int64_t *predicted,
                      score_block *b)
{
    int rc = 0;
    *b =
        (score_block){.set = s, .row = begin, .n = n, .d = s->d, .c = r->fit.c, .cache = &r->cache};
    if (s->d > 0 && ((r->needs & NEEDS_FEATURES) || !logits_stored(r->o, s))) {
        TRY(source_features(s, begin, n, r->h, &b->h));
        TRY(rows_check_finite(s, begin, n, s->d, b->h, "features"));
    }
    if (!logits_available(r->o, s)) goto done;
    TRY(logits_of_rows(&r->fit, s, begin, n, b->h, r->z, &b->z));
    TRY(logits_softmax(rowmath_best(), s, begin, b->z, n, b->c, r->p, r->sums));
    for (size_t i = 0; i < n; i++) {
        r->lse[i] = (float)r->sums[i].lse;
        r->zmax[i] = r->sums[i].max;
        r->plogp[i] = r->sums[i].plogp;
        predicted[begin + i] = (int64_t)r->sums[i].argmax;
        if (s != r->o->id || s->labels == NULL || s->labels[begin + i] < 0) continue;
        r->result->counted++;
        r->result->correct += s->labels[begin + i] == predicted[begin + i];
    }
    b->p = r->p;
    b->lse = r->lse;
    b->zmax = r->zmax;
    b->plogp = r->plogp;
    b->sums = r->sums;
done:
    return rc;
}

/* All uses of one method that takes several at once, from the first of them on. */
static int score_together(run *r, size_t first, size_t at, const score_block *b)
{
    int rc = 0;
    const method *m = r->uses[first].m;
    size_t n = 0, mark = mark_memory(r);
    double start = seconds(), each;
    for (size_t i = first; i < r->n; i++) {
        method_use *u = &r->uses[i];
        if (u->m != m || u->skipped != NULL) continue;
        r->together[n++] =
            (scored_use){ r->state[i], &u->params, u->scores[at] + b->row };
    }
    TRY(m->score_many(r->together, n, b));
    each = (seconds() - start) / (double)n;
    for (size_t i = first; i < r->n; i++) {
        if (r->uses[i].m != m || r->uses[i].skipped != NULL) continue;
        r->uses[i].score_seconds += each;
        note_memory(r, i, mark);
    }
done:
    return rc;
}

/* Whether an earlier use of the same method ran already, and this one with it. */
static int scored_before(const run *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (r->uses[k].m == r->uses[i].m && r->uses[k].skipped == NULL) return 1;
    return 0;
}

static int score_block_all(run *r, size_t at, const score_block *b)
{
    int rc = 0;
    for (size_t i = 0; i < r->n; i++) {
        method_use *u = &r->uses[i];
        double start = seconds();
        size_t mark;
        if (u->skipped != NULL) continue;
        if (u->m->score_many != NULL) {
            if (!scored_before(r, i)) TRY(score_together(r, i, at, b));
            continue;
        }
        mark = mark_memory(r);
        TRY(u->m->score(r->state[i], &u->params, b, u->scores[at] + b->row));
        u->score_seconds += seconds() - start;
        note_memory(r, i, mark);
    }
done:
    return rc;
}

static int score_set(run *r, size_t at, int64_t *predicted)
{
    int rc = 0;
    const source *s = set_at(r->o, at);
    for (size_t i = 0; i < r->n; i++) {
        method_use *u = &r->uses[i];
        double start = seconds();
        if (u->skipped != NULL || u->m->enter_set == NULL) continue;
        TRY(u->m->enter_set(r->state[i], &u->params, s));
        u->score_seconds += seconds() - start;
    }
    for (size_t begin = 0; begin < s->n; begin += r->rows) {
        size_t n = s->n - begin < r->rows ? s->n - begin : r->rows;
        score_block b;
        double start = seconds();
        block_cache_next(&r->cache);
        TRY(load_block(r, s, begin, n, predicted, &b));
        r->result->logits_seconds += seconds() - start;
        TRY(score_block_all(r, at, &b));
        source_forget(s, begin, n);
    }
done:
    return rc;
}

static int new_outputs(run *r)
{
    int rc = 0;
    const engine_options *o = r->o;
    size_t total = 0;
    for (size_t s = 0; s <= o->n_ood; s++)
        TRY(mem_sum(&total, total, set_at(o, s)->n, "rows of all test sets"));
    TRY(mem_new(&r->result->predictions, total, sizeof(int64_t), "predictions"));
    for (size_t i = 0; i < total; i++)
        r->result->predictions[i] = -1;
    for (size_t i = 0; i < r->n; i++) {
        method_use *u = &r->uses[i];
        if (u->skipped != NULL) continue;
        TRY(mem_new(&u->scores, 1 + o->n_ood, sizeof *u->scores, "scores"));
        for (size_t s = 0; s <= o->n_ood; s++)
            TRY(mem_new(&u->scores[s], set_at(o, s)->n, sizeof **u->scores, "scores"));
    }
done:
    return rc;
}

int engine_run(const engine_options *o, method_use *uses, size_t n, engine_result *result)
{
    int rc = 0, threads_before = omp_get_max_threads();
    run r = {.o = o, .uses = uses, .n = n, .result = result, .mem = {.limit = o->memory}};
    int64_t *predicted;
    memset(result, 0, sizeof *result);
    if (o->threads > 0) omp_set_num_threads(o->threads);
    linalg_open();
    TRY(check_shapes(o));
    for (size_t i = 0; i < n; i++)
        check_needs(o, &uses[i]);
    TRY(mem_new(&r.state, n, sizeof *r.state, "fitted methods"));
    TRY(mem_new(&r.held, n, sizeof *r.held, "fitted methods"));
    TRY(mem_new(&r.together, n, sizeof *r.together, "fitted methods"));
    TRY(fit_all(&r));
    TRY(new_outputs(&r));
    TRY(open_blocks(&r));
    predicted = result->predictions;
    for (size_t s = 0; s <= o->n_ood; s++) {
        TRY(score_set(&r, s, predicted));
        predicted += set_at(o, s)->n;
    }
done:
    close_blocks(&r);
    for (size_t i = 0; r.state != NULL && i < n; i++)
        if (r.state[i] != NULL && uses[i].m->free != NULL) uses[i].m->free(&r.state[i]);
    free(r.state);
    free(r.together);
    free(r.held);
    fit_close(&r.fit);
    result->peak_bytes = r.mem.peak;
    if (rc < 0) engine_clear_result(result);
    omp_set_num_threads(threads_before);
    return rc;
}

void engine_clear_result(engine_result *r)
{
    free(r->predictions);
    r->predictions = NULL;
}
