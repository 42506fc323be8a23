/* Relation, the neural relation graph.  Kim et al., NeurIPS 2023, arXiv:2301.12321, as OpenOOD.
 *   f = h / sqrt(|h|^2 + 1e-10), r_t = max(<f, f_t>, 0) <p, p_t> over the train rows t
 *   S = sum of r_t^pow over r_t > cut
 * Products in f32; those near the cut are decided again in f64. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/draw.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = LINALG_TILE_ROWS, SLICE = 4096 };
#define NEAR_CUT 1e-5

typedef struct relation_bank { /* shared by the uses that draw the same rows */
    double part;
    long long seed;
    int holders;
    struct relation_bank *next;
    float *f, *p; /* [n,d], [n,c] of the bank */
    size_t n, slices;
    size_t seen, *row; /* rows of train so far; those of the bank, ascending */
    linalg_matrix **kept_f, **kept_p; /* [slices] */
    linalg *la;
    budget *mem;
} relation_bank;

typedef relation_bank state_type;

static void relation_unit(const float *h, size_t d, float *f)
{
    double inverse = 1 / sqrt(rows_square(h, d) + 1e-10);
    for (size_t j = 0; j < d; j++)
        f[j] = (float)((double)h[j] * inverse);
}

static int add_block(void *arg, const score_block *b)
{
    state_type *s = arg;
    for (size_t i = 0; i < b->n && s->seen < s->n; i++) {
        if (s->row[s->seen] != b->row + i) continue;
        relation_unit(b->h + i * b->d, b->d, s->f + s->seen * b->d);
        for (size_t k = 0; k < b->c; k++)
            s->p[s->seen * b->c + k] = b->p[i * b->c + k];
        s->seen++;
    }
    return 0;
}

static int keep_slices(fit_context *f, state_type *s)
{
    int rc = 0;
    s->slices = (s->n + SLICE - 1) / SLICE;
    TRY(mem_new(&s->kept_f, s->slices, sizeof *s->kept_f, "bank of Relation"));
    TRY(mem_new(&s->kept_p, s->slices, sizeof *s->kept_p, "bank of Relation"));
    for (size_t i = 0; i < s->slices; i++) {
        size_t first = i * SLICE, n = s->n - first < SLICE ? s->n - first : SLICE;
        linalg_values vf = {.n = n, .k = f->d, .f32 = s->f + first * f->d, .f32_only = 1};
        linalg_values vp = {.n = n, .k = f->c, .f32 = s->p + first * f->c, .f32_only = 1};
        TRY(f->la->ops->keep(f->la, &s->kept_f[i], &vf));
        TRY(f->la->ops->keep(f->la, &s->kept_p[i], &vp));
    }
done:
    return rc;
}

static int fill(fit_context *f, state_type *s)
{
    int rc = 0;
    size_t rows = f->o->train->n, room = budget_left(f->mem), each = (f->d + f->c) * sizeof(float);
    s->n = (size_t)(s->part * (double)rows);
    if (s->n == 0) s->n = 1;
    if (s->n > room / 4 * 3 / each) /* the rest is for the blocks; other methods need not go without */
        return fit_refuse(f, "a bank of %zu train rows does not fit into --memory; part=%.2g would", s->n,
                          floor((double)room / 4 * 3 / (double)each / (double)rows * 100) / 100);
    TRY(budget_new(f->mem, &s->row, s->n, sizeof *s->row, "rows of the bank of Relation"));
    TRY(budget_new(f->mem, &s->f, s->n * f->d, sizeof *s->f, "bank of Relation (a smaller one: part)"));
    TRY(budget_new(f->mem, &s->p, s->n * f->c, sizeof *s->p, "bank of Relation (a smaller one: part)"));
    draw_sample((uint64_t)s->seed, rows, s->n, s->row);
    TRY(fit_each_block(f, f->o->train, add_block, s));
    TRY(keep_slices(f, s));
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    double part = param_double(p, "part");
    long long seed = param_int(p, "seed");
    state_type *s = f->relations;
    while (s != NULL && (s->part != part || s->seed != seed))
        s = s->next;
    if (s != NULL) {
        s->holders++;
        *state = s;
        goto done;
    }
    TRY(mem_new(&s, 1, sizeof *s, "Relation"));
    *state = s;
    s->holders = 1;
    s->part = part;
    s->seed = seed;
    s->mem = f->mem;
    s->la = f->la;
    rc = fill(f, s);
    if (rc != 0) goto done; /* shared only once it is full */
    s->next = f->relations;
    f->relations = s;
done:
    return rc;
}

enum { USES = 32 };
typedef struct wanted { /* one use of a bank on a block */
    double cut, power;
    float *out;
    double sum[TILE];
} wanted;

/* <f, f_t> <p, p_t>, decided in f64 where it is near the cut */
static double relation_of(const state_type *s, const score_block *b, const float *f, const float *p, size_t t,
                          double r, double cut)
{
    if (fabs(r - cut) >= NEAR_CUT) return r;
    return rows_dot(f, s->f + t * b->d, b->d) * rows_dot(p, s->p + t * b->c, b->c);
}

static double powered(double r, double power)
{
    return power == 1 ? r : pow(r, power);
}

/* Adds the relations of row i of a tile to m rows of the bank, of products like and agree. */
static void add_relations(const state_type *s, const score_block *b, const float *f, const float *p, size_t first,
                          size_t m, const float *like, const float *agree, wanted *w, size_t i)
{
    double sum = 0;
    for (size_t t = 0; t < m; t++) {
        double r = (double)like[t] * (double)agree[t];
        if (!(r > w->cut - NEAR_CUT)) continue;
        r = relation_of(s, b, f, p, first + t, r, w->cut);
        if (r > w->cut && r > 0) sum += powered(r, w->power);
    }
    w->sum[i] += sum;
}

static int score_bank(const state_type *s, const score_block *b, wanted *w, size_t uses)
{
    int rc = 0;
    size_t d = b->d, c = b->c;
    float *unit, *like, *agree;
    TRY(block_work(b, 0, TILE * d, &unit));
    TRY(block_work(b, 1, TILE * SLICE, &like));
    TRY(block_work(b, 2, TILE * SLICE, &agree));
    for (size_t begin = 0; begin < b->n; begin += TILE) {
        size_t n = b->n - begin < TILE ? b->n - begin : TILE;
        const float *p = b->p + begin * c;
        for (size_t u = 0; u < uses; u++)
            memset(w[u].sum, 0, sizeof w[u].sum);
#pragma omp parallel for
        for (size_t i = 0; i < n; i++)
            relation_unit(b->h + (begin + i) * d, d, unit + i * d);
        for (size_t k = 0; k < s->slices; k++) {
            size_t first = k * SLICE, m = s->n - first < SLICE ? s->n - first : SLICE;
            TRY(s->la->ops->product(s->la, s->kept_f[k], unit, n, like));
            TRY(s->la->ops->product(s->la, s->kept_p[k], p, n, agree));
#pragma omp parallel for
            for (size_t i = 0; i < n; i++)
                for (size_t u = 0; u < uses; u++)
                    add_relations(s, b, unit + i * d, p + i * c, first, m, like + i * m, agree + i * m, &w[u], i);
        }
        for (size_t u = 0; u < uses; u++)
            for (size_t i = 0; i < n; i++)
                w[u].out[begin + i] = (float)w[u].sum[i];
    }
done:
    return rc;
}

/* The products of a block once for all uses of a bank, USES at a time. */
static int score_many(const scored_use *v, size_t n, const score_block *b)
{
    int rc = 0;
    wanted *w = NULL;
    unsigned char *scored = NULL;
    TRY(mem_new(&w, USES, sizeof *w, "Relation"));
    TRY(mem_new(&scored, n, 1, "Relation"));
    for (size_t i = 0; i < n; i++) {
        size_t uses = 0;
        for (size_t k = i; k < n && uses < USES; k++) {
            if (scored[k] || v[k].state != v[i].state) continue;
            w[uses].cut = param_double(v[k].p, "cut");
            w[uses].power = param_double(v[k].p, "pow");
            w[uses++].out = v[k].out;
            scored[k] = 1;
        }
        if (uses > 0) TRY(score_bank(v[i].state, b, w, uses));
    }
done:
    free(scored);
    free(w);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    return score_many(&(scored_use){state, p, out}, 1, b);
}

static void release(void **state)
{
    state_type *s = *state;
    *state = NULL;
    if (s == NULL || --s->holders > 0) return;
    for (size_t i = 0; i < s->slices; i++) {
        if (s->kept_f != NULL) s->la->ops->drop(s->la, &s->kept_f[i]);
        if (s->kept_p != NULL) s->la->ops->drop(s->la, &s->kept_p[i]);
    }
    free(s->kept_f);
    free(s->kept_p);
    if (s->mem != NULL) {
        budget_free(s->mem, &s->row);
        budget_free(s->mem, &s->f);
        budget_free(s->mem, &s->p);
    }
    free(s);
}

const method method_relation = {
    .name = "relation",
    .title = "Relation",
    .formula = "sum of r_t^pow over r_t > cut, r_t = max(<f, f_t>, 0) <p, p_t>, f = h / |h|, train rows t",
    .paper = "Kim et al., Neural Relation Graph: A Unified Framework for Identifying Label Noise and Outlier Data, "
             "NeurIPS 2023, arXiv:2301.12321",
    .quirks = "the whole train set is the bank, as in OpenOOD, and lies in memory (left out where it does not fit); part < 1 draws some of it; a row "
              "without relations above the cut gets 0, so rows tie",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_TRAIN,
    .opts = (const method_opt[]){{"pow", "1", "power of a relation; OpenOOD's grid: 1+2+4+6+8, one pass", 1e-3, 1e3, NULL, METHOD_LIST},
                                 {"cut", "0.03", "relations up to it do not count", 0, 1, NULL, 0},
                                 {"part", "1", "part of the train rows in the bank", 0, 1, NULL, 0},
                                 {"seed", "1", "of the draw", 0, 9007199254740992.0, NULL, METHOD_WHOLE},
                                 {0}},
    .fit = fit,
    .score = score,
    .score_many = score_many,
    .free = release,
};
