#include "score/neighbours.h"

#include "common/err.h"
#include "common/mem.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 128, /* rows that go through the panels together */
       SLACK = NEAR_PANEL + 16 };

struct linalg_bank {
    size_t n, k, filled;
    float *panels;  /* [panels][k][NEAR_PANEL] */
    float *square;  /* [panels * NEAR_PANEL] squared norms, infinite behind the last row */
    double largest; /* norm */
    budget *mem;
};

int near_usable(const near_kernel *kernel)
{
#if defined(__x86_64__)
    if (kernel == &near_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (kernel == &near_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return kernel == &near_plain;
}

const near_kernel *near_best(void)
{
    return near_usable(&near_avx512) ? &near_avx512 : near_usable(&near_avx2) ? &near_avx2 : &near_plain;
}

/* ---- what is kept ------------------------------------------------------------------------------ */

static size_t panels_of(const near_bank *b)
{
    return (b->n + NEAR_PANEL - 1) / NEAR_PANEL;
}

int near_bank_new(near_bank **out, budget *mem, size_t n, size_t k)
{
    int rc = 0;
    near_bank *b = NULL;
    size_t room;
    CHECK(n > 0 && n <= UINT32_MAX - NEAR_PANEL && k > 0, ERR_INTERNAL, "%zu rows of %zu to search", n, k);
    TRY(mem_new(&b, 1, sizeof *b, "kept rows"));
    b->mem = mem;
    b->n = n;
    b->k = k;
    room = panels_of(b) * NEAR_PANEL;
    TRY(mem_product(&room, room, k, "kept rows"));
    TRY(budget_zeroed(mem, &b->panels, room, sizeof *b->panels, "rows kept to search"));
    TRY(budget_new(mem, &b->square, panels_of(b) * NEAR_PANEL, sizeof *b->square, "rows kept to search"));
    for (size_t j = 0; j < panels_of(b) * NEAR_PANEL; j++)
        b->square[j] = INFINITY;
    *out = b;
    b = NULL;
done:
    near_bank_drop(&b);
    return rc;
}

void near_bank_drop(near_bank **out)
{
    near_bank *b = *out;
    if (b == NULL) return;
    budget_free(b->mem, &b->panels);
    budget_free(b->mem, &b->square);
    free(b);
    *out = NULL;
}

static double square_of(const float *v, size_t n)
{
    double sum = 0;
    for (size_t p = 0; p < n; p++)
        sum += (double)v[p] * (double)v[p];
    return sum;
}

int near_bank_add(near_bank *b, const float *x, size_t n)
{
    enum { COLUMNS = 16 }; /* a cache line of x at a time, into as many lines of the panel */
    int rc = 0;
    size_t k = b->k, first = b->filled;
    double most = b->largest;
    CHECK(n <= b->n - first, ERR_INTERNAL, "more rows than %zu", b->n);
#pragma omp parallel for
    for (size_t p = 0; p < k; p += COLUMNS)
        for (size_t i = 0; i < n; i++) {
            size_t j = first + i;
            float *to = b->panels + j / NEAR_PANEL * k * NEAR_PANEL + j % NEAR_PANEL;
            for (size_t q = p; q < k && q < p + COLUMNS; q++)
                to[q * NEAR_PANEL] = x[i * k + q];
        }
#pragma omp parallel for reduction(max : most)
    for (size_t i = 0; i < n; i++) {
        double s = square_of(x + i * k, k);
        b->square[first + i] = (float)s;
        if (sqrt(s) > most) most = sqrt(s);
    }
    b->largest = most;
    b->filled += n;
done:
    return rc;
}

/* Squared distance in f64, eight sums: differences of f32 values are exact there. */
static double distance_to(const near_bank *b, size_t j, const float *x)
{
    const float *row = b->panels + j / NEAR_PANEL * b->k * NEAR_PANEL + j % NEAR_PANEL;
    double lane[8] = {0}, sum = 0;
    for (size_t p = 0; p < b->k; p++) {
        double t = (double)x[p] - (double)row[p * NEAR_PANEL];
        lane[p % 8] += t * t;
    }
    for (int l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

/* ---- one row ----------------------------------------------------------------------------------- */

typedef struct found {
    double distance;
    uint32_t index;
} found;

static int by_distance(const void *a, const void *b)
{
    const found *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

typedef struct search {
    const near_bank *b;
    const near_kernel *kernel;
    const size_t *rank;
    size_t ranks, most, room; /* most: ranks[last] + 1; room: candidates of a row */
    const float *x;
    size_t n;
    double *distance;
    int64_t *index;
} search;

typedef struct row_state {
    float *value; /* [room] square - 2 dot, the distance less the row's own square */
    uint32_t *index;
    size_t n;
    float limit;
    double off; /* no value is farther from the truth */
    int exactly; /* products cannot tell: measure everything */
} row_state;

static void put(const search *s, size_t row, size_t r, const found *f)
{
    s->distance[row * s->ranks + r] = f->distance;
    if (s->index != NULL) s->index[row * s->ranks + r] = (int64_t)f->index;
}

/* The plain twin: all distances, sorted. */
static int measure_all(const search *s, size_t row)
{
    int rc = 0;
    const near_bank *b = s->b;
    found *all = NULL;
    TRY(mem_new(&all, b->n, sizeof *all, "distances of a row"));
    for (size_t j = 0; j < b->n; j++)
        all[j] = (found){distance_to(b, j, s->x + row * b->k), (uint32_t)j};
    qsort(all, b->n, sizeof *all, by_distance);
    for (size_t r = 0; r < s->ranks; r++)
        put(s, row, r, &all[s->rank[r]]);
done:
    free(all);
    return rc;
}

static float above(double v)
{
    float f = (float)v;
    return (double)f >= v ? f : nextafterf(f, INFINITY);
}

/* NEAR_CHUNK products summed one by one, then the chunks: each of that many roundings is at most 2^-24 of
 * the sum of the sizes, which is at most the product of the norms (Cauchy and Schwarz); then those of
 * 2 dot, of the square and of their difference. */
static void begin_row(const search *s, row_state *w, const float *x)
{
    const near_bank *b = s->b;
    double norm = sqrt(square_of(x, b->k)), most = b->largest, u = 0x1p-24;
    double steps = NEAR_CHUNK + (double)(b->k / NEAR_CHUNK) + 2;
    w->n = 0;
    w->limit = FLT_MAX;
    w->off = 1.02 * u * ((2 * steps + 4) * norm * most + 2 * most * most) + 1e-37;
    w->exactly = !((norm + most) * (norm + most) < 1e37); /* f32 would overflow */
    if (w->exactly) w->limit = -INFINITY;
}

/* Nothing beyond the best `most` and twice the error can be asked for. */
static void squeeze(const search *s, row_state *w)
{
    size_t n = 0;
    w->limit = above((double)s->kernel->select(w->value, w->n, s->most - 1) + 2 * w->off);
    for (size_t i = 0; i < w->n; i++) {
        w->value[n] = w->value[i];
        w->index[n] = w->index[i];
        n += w->value[i] <= w->limit;
    }
    w->n = n;
    if (n + SLACK <= s->room) return;
    w->exactly = 1; /* crowds of equal distances */
    w->limit = -INFINITY;
    w->n = 0;
}

/* What lies within twice the error of the rank-th value holds the one of that rank; all that lie below
 * are nearer than it. */
static void finish_row(const search *s, const row_state *w, size_t row, found *near)
{
    const float *x = s->x + row * s->b->k;
    for (size_t r = 0; r < s->ranks; r++) {
        double at = (double)s->kernel->select(w->value, w->n, s->rank[r]);
        size_t below = 0, n = 0;
        for (size_t i = 0; i < w->n; i++) {
            double v = (double)w->value[i];
            below += v < at - 2 * w->off;
            if (v < at - 2 * w->off || v > at + 2 * w->off) continue;
            near[n++] = (found){distance_to(s->b, w->index[i], x), w->index[i]};
        }
        if (n > 1) qsort(near, n, sizeof *near, by_distance);
        put(s, row, r, &near[s->rank[r] - below]);
    }
}

/* ---- all rows ---------------------------------------------------------------------------------- */

typedef struct workspace {
    float *dot; /* [GROUP,NEAR_PANEL] */
    row_state row[GROUP];
    found *near; /* [room] */
} workspace;

static void search_group(const search *s, workspace *w, size_t first, size_t rows)
{
    const near_bank *b = s->b;
    const float *x = s->x + first * b->k;
    for (size_t i = 0; i < rows; i++)
        begin_row(s, &w->row[i], x + i * b->k);
    for (size_t j = 0; j < b->n; j += NEAR_PANEL) {
        const float *panel = b->panels + j * b->k;
        for (size_t p = 0; p < b->k; p += NEAR_CHUNK) {
            size_t k = b->k - p < NEAR_CHUNK ? b->k - p : NEAR_CHUNK;
            s->kernel->products(x + p, b->k, rows, panel + p * NEAR_PANEL, k, p > 0, w->dot);
        }
        for (size_t i = 0; i < rows; i++) {
            row_state *r = &w->row[i];
            r->n = s->kernel->append(w->dot + i * NEAR_PANEL, b->square + j, r->limit, (uint32_t)j, r->value,
                                     r->index, r->n);
            if (r->n + SLACK > s->room) squeeze(s, r);
        }
    }
    for (size_t i = 0; i < rows; i++)
        if (!w->row[i].exactly) finish_row(s, &w->row[i], first + i, w->near);
}

static int new_workspaces(workspace **out, const search *s, int threads)
{
    int rc = 0;
    budget *mem = s->b->mem;
    workspace *w = NULL;
    TRY(mem_new(&w, (size_t)threads, sizeof *w, "search"));
    *out = w;
    for (int t = 0; t < threads; t++) {
        float *value;
        uint32_t *index;
        TRY(budget_new(mem, &w[t].dot, GROUP * NEAR_PANEL, sizeof *w[t].dot, "search"));
        TRY(budget_new(mem, &w[t].near, s->room, sizeof *w[t].near, "search"));
        TRY(budget_new(mem, &w[t].row[0].value, GROUP * s->room, sizeof *value, "search"));
        TRY(budget_new(mem, &w[t].row[0].index, GROUP * s->room, sizeof *index, "search"));
        value = w[t].row[0].value;
        index = w[t].row[0].index;
        for (size_t i = 1; i < GROUP; i++) {
            w[t].row[i].value = value + i * s->room;
            w[t].row[i].index = index + i * s->room;
        }
    }
done:
    return rc;
}

static void free_workspaces(workspace *w, const search *s, int threads)
{
    budget *mem = s->b->mem;
    for (int t = 0; w != NULL && t < threads; t++) {
        budget_free(mem, &w[t].dot);
        budget_free(mem, &w[t].near);
        budget_free(mem, &w[t].row[0].value);
        budget_free(mem, &w[t].row[0].index);
    }
    free(w);
}

/* The rows of a group that products cannot decide. */
static int measure_rest(const search *s, const workspace *w, size_t first, size_t rows)
{
    int rc = 0;
    for (size_t i = 0; i < rows; i++)
        if (w == NULL || w->row[i].exactly) TRY(measure_all(s, first + i));
done:
    return rc;
}

int near_search(const near_bank *b, const near_kernel *kernel, const size_t *rank, size_t ranks,
                const float *x, size_t n, double *distance, int64_t *index)
{
    int rc = 0, threads = omp_get_max_threads(), failed = 0;
    workspace *work = NULL;
    search s = {.b = b, .kernel = kernel, .rank = rank, .ranks = ranks, .x = x, .n = n,
                .distance = distance, .index = index};
    CHECK(b->filled == b->n, ERR_INTERNAL, "%zu of %zu rows to search are there", b->filled, b->n);
    for (size_t r = 0; r < ranks; r++) {
        CHECK(rank[r] < b->n, ERR_INTERNAL, "rank %zu of %zu rows", rank[r], b->n);
        if (rank[r] >= s.most) s.most = rank[r] + 1;
    }
    if (ranks == 0) goto done;
    s.room = 2 * s.most + 1024 + SLACK;
    if (kernel != NULL) TRY(new_workspaces(&work, &s, threads));
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t first = 0; first < n; first += GROUP) {
        size_t rows = n - first < GROUP ? n - first : GROUP;
        workspace *w = work != NULL ? &work[omp_get_thread_num()] : NULL;
        if (w != NULL) search_group(&s, w, first, rows);
        if (measure_rest(&s, w, first, rows) < 0) {
#pragma omp atomic write
            failed = 1;
        }
    }
    CHECK(!failed, ERR_ENV, "no memory to search %zu rows", b->n);
done:
    free_workspaces(work, &s, threads);
    return rc;
}
