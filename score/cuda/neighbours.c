/* The nearest of kept rows.  f64 products of a chunk of rows with a tile of the kept ones give squared
 * distances less the row's own square; row_nearest collects the smallest of each row, some more than are
 * asked for; row_pairs measures those again as sums of squared differences, and the host takes the ranks.
 * What decides is measured exactly, so neither tiles nor cuBLAS show in a result.  A row in which something
 * that was not collected might be as near (crowds of equal distances) is searched again with more room. */
#include "score/cuda/lanes.h"

#include "common/mem.h"
#include "kernels/nearest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 4096, SPARE = 32, AGAIN = 64 /* rows of a chunk that is searched again */ };

struct linalg_bank {
    size_t n, k, filled;
    double *rows, *square; /* the device's: [n,k], [n] */
    double largest;        /* norm */
};

/* ---- what is kept ------------------------------------------------------------------------------ */

int bank_new(linalg *base, linalg_bank **out, size_t n, size_t k)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    linalg_bank *b = NULL;
    size_t bytes;
    CHECK(n > 0 && n <= INT32_MAX / 4 && k > 0 && k <= INT32_MAX / 8, ERR_INTERNAL, "%zu rows of %zu to search", n, k);
    TRY(mem_new(&b, 1, sizeof *b, "rows to search"));
    b->n = n;
    b->k = k;
    TRY(mem_product(&bytes, n, k * sizeof *b->rows, "rows to search"));
    TRY(device_new(la, bytes, (void **)&b->rows));
    TRY(device_new(la, n * sizeof *b->square, (void **)&b->square));
    *out = b;
    b = NULL;
done:
    bank_drop(base, &b);
    return rc;
}

void bank_drop(linalg *base, linalg_bank **out)
{
    linalg_device *la = (linalg_device *)base;
    linalg_bank *b = *out;
    if (b == NULL) return;
    lanes_wait(la);
    device_drop(la, b->n * b->k * sizeof *b->rows, (void **)&b->rows);
    device_drop(la, b->n * sizeof *b->square, (void **)&b->square);
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

static int add_chunk(linalg_device *la, linalg_bank *b, const float *x, size_t n)
{
    int rc = 0;
    lane *l = &la->lane[0];
    size_t bytes = n * b->k * sizeof *x;
    op_args a = { .n = (int)n, .h = 1, .w = 1, .c = (int)b->k };
    TRY(lane_finish(la, l));
    TRY(lane_need(la, l, PINNED_IN, bytes));
    TRY(lane_need(la, l, ROWS, bytes));
    memcpy(l->buffer[PINNED_IN], x, bytes);
    TRY(device_use(la->be));
    l->busy = 1;
    l->take = NULL;
    CU(cuda.copy_in(l->buffer[ROWS], l->buffer[PINNED_IN], bytes, l->stream), "copying rows to the GPU");
    a.x[0] = l->buffer[ROWS];
    a.y = b->rows + b->filled * b->k;
    TRY(lane_run(l, KERNEL_widen_fwd, &a));
    a.x[0] = a.y;
    a.y = b->square + b->filled;
    TRY(lane_run(l, KERNEL_row_squares_fwd, &a));
    TRY(lane_finish(la, l));
    b->filled += n;
done:
    if (rc < 0) lane_abandon(la, l);
    return rc;
}

int bank_add(linalg *base, linalg_bank *b, const float *x, size_t n)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    double most = b->largest;
    CHECK(n <= b->n - b->filled, ERR_INTERNAL, "more rows than %zu", b->n);
#pragma omp parallel for reduction(max : most)
    for (size_t i = 0; i < n; i++) {
        double norm = sqrt(square_of(x + i * b->k, b->k));
        most = norm > most ? norm : most;
    }
    b->largest = most;
    for (size_t at = 0; at < n; at += CHUNK)
        TRY(add_chunk(la, b, x + at * b->k, n - at < CHUNK ? n - at : CHUNK));
done:
    return rc;
}

/* ---- one chunk --------------------------------------------------------------------------------- */

typedef struct search {
    const linalg_bank *b;
    const size_t *rank;
    size_t ranks, most; /* most: the last rank + 1 */
    const float *x;
    double *distance;
    int64_t *index;
    size_t *again, n_again; /* rows that this pass could not settle, of `known` */
    /* the pass */
    const size_t *row; /* which rows, NULL: all in order */
    size_t keep, tile, chunk;
} search;

typedef struct part { /* rows under way on a lane: [first, first + n) of the pass */
    size_t first, n;
} part;

static size_t row_at(const search *s, size_t i)
{
    return s->row != NULL ? s->row[i] : i;
}

static int room_of(const search *s)
{
    size_t spare = s->keep < 256 ? 256 : s->keep;
    return (int)(s->keep + spare + s->tile);
}

static void fill_pinned(const search *s, const part *p, float *to)
{
    size_t k = s->b->k;
#pragma omp parallel for
    for (size_t i = 0; i < p->n; i++)
        memcpy(to + i * k, s->x + row_at(s, p->first + i) * k, k * sizeof *to);
}

static int queue_tiles(lane *l, const search *s, size_t rows)
{
    int rc = 0;
    const linalg_bank *b = s->b;
    op_args widen = { .n = (int)rows, .h = 1, .w = 1, .c = (int)b->k };
    op_args a = { .n = (int)rows, .h = 1, .w = 1, .scale = -2.0f, .kernel = (int)s->keep, .window = room_of(s) };
    widen.x[0] = l->buffer[ROWS];
    widen.y = l->buffer[WIDE];
    TRY(lane_run(l, KERNEL_widen_fwd, &widen));
    a.x[0] = l->buffer[PRODUCTS];
    a.y = l->buffer[CANDIDATES];
    for (size_t j = 0; j < b->n; j += s->tile) {
        size_t columns = b->n - j < s->tile ? b->n - j : s->tile;
        la_product p = { rows, columns, b->k, l->buffer[WIDE], b->rows + j * b->k, l->buffer[PRODUCTS] };
        BLAS(cuda_la.blas_dproduct(l->blas, &p), "multiplying rows (f64)");
        a.x[1] = b->square + j;
        a.c = (int)columns;
        a.shift = (int)j;
        a.stride = j == 0;
        a.pad = j + columns == b->n;
        TRY(lane_run(l, KERNEL_row_nearest_fwd, &a));
    }
    a.x[0] = l->buffer[WIDE];
    a.x[1] = b->rows;
    a.x[2] = l->buffer[CANDIDATES];
    a.y = l->buffer[RESULT];
    a.c = (int)b->k;
    TRY(lane_run(l, KERNEL_row_pairs_fwd, &a));
done:
    return rc;
}

static int start(linalg_device *la, lane *l, const search *s, const part *p)
{
    int rc = 0;
    size_t k = s->b->k, rows = p->n, found = rows * (s->keep + 1) * sizeof(nearest_item);
    TRY(lane_need(la, l, PINNED_IN, rows * k * sizeof(float)));
    TRY(lane_need(la, l, PINNED_OUT, found));
    TRY(lane_need(la, l, ROWS, rows * k * sizeof(float)));
    TRY(lane_need(la, l, WIDE, rows * k * sizeof(double)));
    TRY(lane_need(la, l, PRODUCTS, rows * s->tile * sizeof(double)));
    TRY(lane_need(la, l, CANDIDATES, rows * ((size_t)room_of(s) + 1) * sizeof(nearest_item)));
    TRY(lane_need(la, l, RESULT, found));
    fill_pinned(s, p, l->buffer[PINNED_IN]);
    TRY(device_use(la->be));
    l->busy = 1; /* from here on the stream may use the buffers */
    l->take = NULL;
    CU(cuda.copy_in(l->buffer[ROWS], l->buffer[PINNED_IN], rows * k * sizeof(float), l->stream),
       "copying rows to the GPU");
    TRY(queue_tiles(l, s, rows));
    CU(cuda.copy_out(l->buffer[PINNED_OUT], l->buffer[RESULT], found, l->stream), "copying results from the GPU");
done:
    return rc;
}

/* ---- what was found ---------------------------------------------------------------------------- */

static size_t count_up_to(const nearest_item *v, size_t n, int64_t key)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += nearest_key(v[i].value) <= key;
    return count;
}

/* The item of that rank by value; equal ones lie in the order of their index. */
static const nearest_item *item_of_rank(const nearest_item *v, size_t n, size_t rank)
{
    int64_t low = INT64_MAX, high = INT64_MIN;
    size_t before = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t key = nearest_key(v[i].value);
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    while (low < high) {
        int64_t middle = nearest_middle(low, high);
        if (count_up_to(v, n, middle) > rank) high = middle;
        else low = middle + 1;
    }
    for (size_t i = 0; i < n; i++)
        before += nearest_key(v[i].value) < low;
    for (size_t i = 0; i < n; i++)
        if (nearest_key(v[i].value) == low && before++ == rank) return &v[i];
    return v; /* not reached: rank < n */
}

/* Whether nothing that was left out can be as near as the last rank.  Left out is what the products put at
 * the header's value or above; they are off by the rounding of k + 2 terms of the size of the norms. */
static int is_settled(const search *s, const nearest_item *found, const float *x, double last)
{
    const linalg_bank *b = s->b;
    double xx = square_of(x, b->k), norm = sqrt(xx), most = b->largest;
    double off = 0x1p-52 * ((2 * (double)b->k + 8) * norm * most + 4 * (most * most + xx));
    return s->keep >= b->n || last < found->value + xx - off;
}

/* The results of a part; marks in unsettled[] the rows that need more room. */
static void settle(const search *s, const part *p, const nearest_item *all, unsigned char *unsettled)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < p->n; i++) {
        const nearest_item *found = all + i * (s->keep + 1), *of = found;
        size_t row = row_at(s, p->first + i), n = (size_t)found->at;
        for (size_t r = 0; r < s->ranks; r++) {
            of = item_of_rank(found + 1, n, s->rank[r]);
            s->distance[row * s->ranks + r] = of->value;
            if (s->index != NULL) s->index[row * s->ranks + r] = of->at;
        }
        of = item_of_rank(found + 1, n, s->most - 1);
        unsettled[i] = !is_settled(s, found, s->x + row * s->b->k, of->value);
    }
}

static int finish(linalg_device *la, lane *l, search *s, part *p)
{
    int rc = 0;
    unsigned char unsettled[CHUNK];
    TRY(lane_finish(la, l));
    if (p->n == 0) goto done;
    settle(s, p, l->buffer[PINNED_OUT], unsettled);
    for (size_t i = 0; i < p->n; i++)
        if (unsettled[i]) s->again[s->n_again++] = row_at(s, p->first + i);
    p->n = 0;
done:
    return rc;
}

/* ---- all rows ---------------------------------------------------------------------------------- */

static int run_pass(linalg_device *la, search *s, size_t n)
{
    int rc = 0;
    part under_way[LANES_OPEN] = {{0, 0}};
    size_t turn = 0;
    for (size_t at = 0; at < n; at += s->chunk, turn++) {
        lane *l = &la->lane[turn % LANES_OPEN];
        part *p = &under_way[turn % LANES_OPEN];
        TRY(finish(la, l, s, p));
        *p = (part){at, n - at < s->chunk ? n - at : s->chunk};
        TRY(start(la, l, s, p));
    }
    for (size_t i = 0; i < LANES_OPEN; i++, turn++)
        TRY(finish(la, &la->lane[turn % LANES_OPEN], s, &under_way[turn % LANES_OPEN]));
done:
    for (int i = 0; rc < 0 && i < LANES_OPEN; i++)
        lane_abandon(la, &la->lane[i]);
    return rc;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

int bank_search(linalg *base, const linalg_bank *b, const size_t *rank, size_t ranks, const float *x, size_t n,
                double *distance, int64_t *index)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    size_t *rows = NULL, left = n;
    search s = { .b = b, .rank = rank, .ranks = ranks, .x = x, .distance = distance, .index = index,
                 .tile = least_of(TILE, b->n), .chunk = CHUNK };
    CHECK(b->filled == b->n, ERR_INTERNAL, "%zu of %zu rows to search are there", b->filled, b->n);
    for (size_t r = 0; r < ranks; r++) {
        CHECK(rank[r] < b->n, ERR_INTERNAL, "rank %zu of %zu rows", rank[r], b->n);
        if (rank[r] >= s.most) s.most = rank[r] + 1;
    }
    if (ranks == 0 || n == 0) goto done;
    TRY(mem_new(&rows, 2 * n, sizeof *rows, "rows to search again"));
    s.again = rows;
    for (s.keep = least_of(s.most + SPARE, b->n); left > 0; s.keep = least_of(4 * s.keep, b->n)) {
        TRY(run_pass(la, &s, left));
        left = s.n_again;
        s.row = s.again; /* these, while the other half of `rows` takes the next ones */
        s.again = s.again == rows ? rows + n : rows;
        s.n_again = 0;
        s.chunk = AGAIN;
    }
done:
    free(rows);
    return rc;
}
