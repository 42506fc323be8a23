#include "score/stats/coverage.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/shuffle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct coverages {
    coverage **v;
    size_t n, room;
    build_rows **chosen;
    size_t n_chosen, chosen_room;
};

/* ---- bins --------------------------------------------------------------------------------------- */

void coverage_boundaries(coverage_kind kind, size_t m, double *t)
{
    size_t n = m / 2;
    double step = (sqrt(1000) - 1) / (double)(n > 1 ? n - 1 : 1);
    if (kind == COVERAGE_V0) {
        for (size_t i = 0; i < m; i++)
            t[i] = (double)(float)((double)i / (double)(m - 1));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double a = log(1 + (double)i * step) / log(1000);
        if (i + 1 < n) t[i] = a;
        t[m - 2 - i] = 1 - a;
    }
    t[n - 1] = 0.5;
    t[m - 2] += 0.01;
    t[m - 1] = 1.2;
}

size_t coverage_bin(const double *t, size_t m, double s)
{
    size_t low = 0, high = m; /* t[low] <= s < t[high] */
    if (!(s >= t[0] && s < t[m - 1])) return m - 1;
    while (high - low > 1) {
        size_t mid = (low + high) / 2;
        if (t[mid] <= s) low = mid;
        else high = mid;
    }
    return low;
}

float coverage_state(float product, float alpha)
{
    return 1 / (1 + expf(-(alpha * product)));
}

/* ---- the images it is built on --------------------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* The rows of one class; writes what is taken to `out`, returns how many. */
static size_t choose_class(size_t *row, size_t n, size_t held, size_t take, size_t *out)
{
    mt19937 r;
    if (held > 0) {
        mt19937_seed(&r, 1);
        legacy_shuffle(&r, row, n);
        held = held < n ? held : n;
        row += held;
        n -= held;
    }
    mt19937_seed(&r, 1);
    legacy_shuffle(&r, row, n);
    take = take < n ? take : n;
    memcpy(out, row, take * sizeof *out);
    return take;
}

static int choose(fit_context *f, build_rows *b, size_t per_class, size_t held)
{
    int rc = 0;
    const source *s = f->o->train;
    size_t *row = NULL, *start = NULL, c = f->c;
    TRY(mem_new(&start, c + 2, sizeof *start, "classes"));
    TRY(budget_new(f->mem, &row, s->n + 1, sizeof *row, "rows by class"));
    for (size_t i = 0; i < s->n; i++)
        if (s->labels[i] >= 0 && (size_t)s->labels[i] < c) start[s->labels[i] + 2]++;
    for (size_t k = 2; k < c + 2; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < s->n; i++) /* start[k + 1] moves to the end of class k */
        if (s->labels[i] >= 0 && (size_t)s->labels[i] < c) row[start[s->labels[i] + 1]++] = i;
    for (size_t k = 0; k < c; k++)
        b->n += choose_class(row + start[k], start[k + 1] - start[k], held, per_class, b->row + b->n);
    qsort(b->row, b->n, sizeof *b->row, by_row);
done:
    budget_free(f->mem, &row);
    free(start);
    return rc;
}

static int coverages_of(fit_context *f, coverages **out)
{
    int rc = 0;
    if (f->coverage == NULL) TRY(mem_new(&f->coverage, 1, sizeof *f->coverage, "coverage"));
    *out = f->coverage;
done:
    return rc;
}

int coverage_choose(fit_context *f, const char *how, size_t images, size_t held, const build_rows **out)
{
    int rc = 0;
    coverages *c;
    build_rows *b;
    char key[80];
    size_t n = f->o->train->n, all = strcmp(how, "all") == 0;
    snprintf(key, sizeof key, "%s %zu %zu", how, images, held);
    TRY(coverages_of(f, &c));
    for (size_t i = 0; i < c->n_chosen; i++)
        if (strcmp(c->chosen[i]->key, key) == 0) {
            *out = c->chosen[i];
            return 0;
        }
    TRY(mem_grow(&c->chosen, &c->chosen_room, c->n_chosen + 1, sizeof *c->chosen, "coverage"));
    TRY(mem_new(&b, 1, sizeof *b, "coverage"));
    c->chosen[c->n_chosen++] = b;
    memcpy(b->key, key, sizeof key);
    TRY(budget_new(f->mem, &b->row, n, sizeof *b->row, "rows to build coverage on"));
    for (size_t i = 0; all && i < n; i++)
        b->row[b->n++] = i;
    if (!all) TRY(choose(f, b, images / f->c, strcmp(how, "published") == 0 ? held / f->c : 0));
    *out = b;
done:
    return rc;
}

/* ---- counts ---------------------------------------------------------------------------------------- */

static void count_rows(coverage *k, const float *product, size_t n)
{
#pragma omp parallel for schedule(static)
    for (size_t j = 0; j < k->width; j++) {
        uint32_t *count = k->count + j * (k->m - 1);
        for (size_t i = 0; i < n; i++) {
            size_t bin = coverage_bin(k->t, k->m, (double)coverage_state(product[i * k->width + j], (float)k->alpha));
            if (bin < k->m - 1) count[bin]++;
        }
    }
}

/* h (W' (p - 1/C)) [n,d] of a block; scratch 1 and 2. */
static int closed_form(const score_block *b, const float **out)
{
    int rc = 0;
    fit_context *f = b->cache->f;
    float *q, *g;
    TRY(fit_head_transposed(f));
    TRY(block_work(b, 1, b->n * b->d, &g));
    TRY(block_work(b, 2, b->n * b->c, &q));
    for (size_t i = 0; i < b->n * b->c; i++)
        q[i] = b->p[i] - 1 / (float)b->c;
    linalg_gemm_abt(b->n, b->d, b->c, q, b->c, f->head_t, b->c, 0, g, b->d);
    for (size_t i = 0; i < b->n * b->d; i++)
        g[i] *= b->h[i];
    *out = g;
done:
    return rc;
}

typedef struct counting {
    coverage *k;
    size_t at; /* the next of rows->row */
} counting;

static int count_block(void *arg, const score_block *b)
{
    int rc = 0;
    counting *c = arg;
    const build_rows *r = c->k->rows;
    const float *product;
    if (r != NULL && (c->at == r->n || r->row[c->at] >= b->row + b->n)) return 0;
    TRY(closed_form(b, &product));
    if (r == NULL) count_rows(c->k, product, b->n);
    for (; r != NULL && c->at < r->n && r->row[c->at] < b->row + b->n; c->at++)
        count_rows(c->k, product + (r->row[c->at] - b->row) * b->d, 1);
done:
    return rc;
}

/* Runs of neighbouring rows together. */
static int count_table(fit_context *f, coverage *k, const char *table)
{
    enum { RUN = 128 };
    int rc = 0;
    float *buffer = NULL;
    const build_rows *r = k->rows;
    TRY(budget_new(f->mem, &buffer, RUN * k->width, sizeof *buffer, "rows of a table"));
    for (size_t i = 0, n; i < r->n; i += n) {
        const float *v;
        for (n = 1; i + n < r->n && n < RUN && r->row[i + n] == r->row[i] + n;)
            n++;
        TRY(table_rows(f->o->train, table, k->width, r->row[i], n, buffer, &v));
        count_rows(k, v, n);
    }
done:
    budget_free(f->mem, &buffer);
    return rc;
}

static int fill(fit_context *f, coverage *k)
{
    int rc = 0, closed = strcmp(k->layer, "features") == 0;
    char table[TABLE_NAME];
    snprintf(table, sizeof table, "nac/%s", k->layer);
    k->width = closed ? f->d : source_table_find(f->o->train, table)->width;
    TRY(budget_new(f->mem, &k->t, k->m, sizeof *k->t, "coverage"));
    TRY(budget_zeroed(f->mem, &k->count, k->width * (k->m - 1), sizeof *k->count, "coverage"));
    coverage_boundaries(k->kind, k->m, k->t);
    if (closed) TRY(fit_each_block(f, k->rows != NULL ? f->o->train : f->o->id, count_block, &(counting){ k, 0 }));
    else TRY(count_table(f, k, table));
done:
    return rc;
}

int coverage_build(fit_context *f, const char *layer, coverage_kind kind, size_t m, double alpha,
                   const build_rows *rows, const coverage **out)
{
    int rc = 0;
    coverages *c;
    coverage *k;
    TRY(coverages_of(f, &c));
    for (size_t i = 0; i < c->n; i++) {
        k = c->v[i];
        if (k->kind != kind || k->m != m || k->alpha != alpha || k->rows != rows) continue;
        if (strcmp(k->layer, layer) != 0) continue;
        *out = k;
        return 0;
    }
    TRY(mem_grow(&c->v, &c->room, c->n + 1, sizeof *c->v, "coverage"));
    TRY(mem_new(&k, 1, sizeof *k, "coverage"));
    c->v[c->n++] = k;
    *k = (coverage){ .layer = NULL, .kind = kind, .m = m, .alpha = alpha, .rows = rows };
    snprintf(k->name, sizeof k->name, "%s", layer);
    k->layer = k->name;
    TRY(fill(f, k));
    *out = k;
done:
    return rc;
}

int coverage_of_block(const score_block *b, const coverage *k, double o, double *mean)
{
    int rc = 0;
    const float *product;
    char table[TABLE_NAME];
    snprintf(table, sizeof table, "nac/%s", k->layer);
    if (strcmp(k->layer, "features") == 0) TRY(closed_form(b, &product));
    else TRY(block_table(b, 0, table, k->width, &product));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < k->width; j++) {
            size_t bin = coverage_bin(k->t, k->m, (double)coverage_state(product[i * k->width + j], (float)k->alpha));
            if (bin == k->m - 1) continue;
            sum += fmin((double)k->count[j * (k->m - 1) + bin] / o, 1);
        }
        mean[i] = sum / (double)k->width;
    }
done:
    return rc;
}

void coverages_free(coverages **pc, budget *mem)
{
    coverages *c = *pc;
    if (c == NULL) return;
    for (size_t i = 0; i < c->n; i++) {
        budget_free(mem, &c->v[i]->t);
        budget_free(mem, &c->v[i]->count);
        free(c->v[i]);
    }
    for (size_t i = 0; i < c->n_chosen; i++) {
        budget_free(mem, &c->chosen[i]->row);
        free(c->chosen[i]);
    }
    free(c->v);
    free(c->chosen);
    free(c);
    *pc = NULL;
}
