/* Products of rows with what is kept, and their reductions: rows go up as f32, results come down as
 * one number per row (logits: one per class).
 * Products and sums are f64 but for the logits: a sum of k terms is off by less than k 2^-53 of the sum of
 * their sizes, so distances need no second look, and the expansion ||y||^2 + ||m||^2 - 2 y m loses at most
 * k 2^-51 of the two squares. */
#include "score/cuda/lanes.h"

#include "common/mem.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is kept ------------------------------------------------------------------------------ */

/* Stands for the logarithm of zero in products: 0 times it is 0, and anything else times it is below any
 * sum of logarithms. */
#define LOG_ZERO (-1e300)
#define LOG_ZERO_SEEN (-1e200) /* the smallest f32 is 1e-45 */

static int upload(linalg_device *la, void **mem, const void *values, size_t bytes)
{
    int rc = 0;
    TRY(device_new(la, bytes, mem));
    TRY(memory_upload(la->be, *mem, values, bytes));
    TRY(device_sync(la->be));
done:
    return rc;
}

int rows_keep(linalg *base, linalg_matrix **out, const linalg_values *v)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    linalg_matrix *m = NULL;
    double *wide = NULL;
    size_t count = v->n * v->k;
    TRY(mem_new(&m, 1, sizeof *m, "matrix"));
    m->n = v->n;
    m->k = v->k;
    if (v->f32_only) {
        TRY(upload(la, (void **)&m->f32, v->f32, count * sizeof *m->f32));
    } else {
        TRY(mem_new_aligned(&wide, count, sizeof *wide, "matrix"));
        for (size_t i = 0; i < count; i++) {
            double x = v->f64 != NULL ? v->f64[i] : (double)v->f32[i];
            wide[i] = x < LOG_ZERO ? LOG_ZERO : x;
        }
        TRY(upload(la, (void **)&m->f64, wide, count * sizeof *m->f64));
    }
    *out = m;
    m = NULL;
done:
    rows_drop(base, &m);
    free(wide);
    return rc;
}

void rows_drop(linalg *base, linalg_matrix **out)
{
    linalg_device *la = (linalg_device *)base;
    linalg_matrix *m = *out;
    if (m == NULL) return;
    lanes_wait(la);
    device_drop(la, m->n * m->k * sizeof *m->f32, (void **)&m->f32);
    device_drop(la, m->n * m->k * sizeof *m->f64, (void **)&m->f64);
    free(m);
    *out = NULL;
}

/* ---- one chunk --------------------------------------------------------------------------------- */

typedef struct job job;
struct job {
    const linalg_matrix *m, *origin, *mean, *square;
    size_t rows; /* of m */
    int (*queue)(linalg_device *la, lane *l, const job *j); /* from ROWS to `from` */
    enum lane_buffer from;
    size_t width, bytes; /* results per row, and bytes of one */
    size_t out_bytes;    /* what becomes of a row */
    void (*take)(const void *pinned, size_t n, size_t width, void *out);
};

static int queue_widen(linalg_device *la, lane *l, const job *j)
{
    int rc = 0;
    op_args a = { .n = CHUNK, .h = 1, .w = 1, .c = (int)j->m->k, .groups = j->origin != NULL };
    TRY(lane_need(la, l, WIDE, CHUNK * j->m->k * sizeof(double)));
    a.x[0] = l->buffer[ROWS];
    a.x[1] = j->origin != NULL ? j->origin->f64 : NULL;
    a.y = l->buffer[WIDE];
    TRY(lane_run(l, KERNEL_widen_fwd, &a));
done:
    return rc;
}

/* buffer `to` [CHUNK,n] = buffer `from` [CHUNK,k] b[n,k]' */
static int queue_product(linalg_device *la, lane *l, enum lane_buffer from, const double *b, size_t n,
                         size_t k, enum lane_buffer to)
{
    int rc = 0;
    la_product p = { CHUNK, n, k, l->buffer[from], b, NULL };
    TRY(lane_need(la, l, to, CHUNK * n * sizeof(double)));
    p.c = l->buffer[to];
    BLAS(cuda_la.blas_dproduct(l->blas, &p), "multiplying rows (f64)");
done:
    return rc;
}

static int queue_squares(linalg_device *la, lane *l, size_t width, enum lane_buffer to)
{
    int rc = 0;
    op_args a = { .n = CHUNK, .h = 1, .w = 1, .c = (int)width };
    TRY(lane_need(la, l, to, CHUNK * sizeof(double)));
    a.x[0] = l->buffer[PROJECTED];
    a.y = l->buffer[to];
    TRY(lane_run(l, KERNEL_row_squares_fwd, &a));
done:
    return rc;
}

static int queue_logits(linalg_device *la, lane *l, const job *j)
{
    int rc = 0;
    la_product p = { CHUNK, j->rows, j->m->k, l->buffer[ROWS], j->m->f32, NULL };
    TRY(lane_need(la, l, PRODUCTS, CHUNK * j->rows * sizeof(float)));
    p.c = l->buffer[PRODUCTS];
    BLAS(cuda_la.blas_product(l->blas, &p), "multiplying rows (f32)");
done:
    return rc;
}

static int queue_norms(linalg_device *la, lane *l, const job *j)
{
    int rc = 0;
    TRY(queue_widen(la, l, j));
    TRY(queue_product(la, l, WIDE, j->m->f64, j->rows, j->m->k, PROJECTED));
    TRY(queue_squares(la, l, j->rows, RESULT));
done:
    return rc;
}

static int queue_nearest(linalg_device *la, lane *l, const job *j)
{
    int rc = 0;
    size_t k = j->mean->n;
    op_args a = { .n = CHUNK, .h = 1, .w = 1, .c = (int)k, .groups = 1, .scale = -2.0f };
    TRY(queue_widen(la, l, j));
    TRY(queue_product(la, l, WIDE, j->m->f64, j->rows, j->m->k, PROJECTED));
    TRY(queue_squares(la, l, j->rows, SQUARES));
    TRY(queue_product(la, l, PROJECTED, j->mean->f64, k, j->rows, PRODUCTS));
    TRY(lane_need(la, l, RESULT, CHUNK * sizeof(double)));
    a.x[0] = l->buffer[PRODUCTS];
    a.x[1] = j->square->f64;
    a.x[2] = l->buffer[SQUARES];
    a.y = l->buffer[RESULT];
    TRY(lane_run(l, KERNEL_row_least_fwd, &a));
done:
    return rc;
}

static int queue_cross_entropy(linalg_device *la, lane *l, const job *j)
{
    int rc = 0;
    op_args a = { .n = CHUNK, .h = 1, .w = 1, .c = (int)j->rows, .scale = -1.0f };
    TRY(queue_widen(la, l, j));
    TRY(queue_product(la, l, WIDE, j->m->f64, j->rows, j->m->k, PRODUCTS));
    TRY(lane_need(la, l, RESULT, CHUNK * sizeof(double)));
    a.x[0] = l->buffer[PRODUCTS];
    a.y = l->buffer[RESULT];
    TRY(lane_run(l, KERNEL_row_least_fwd, &a));
done:
    return rc;
}

/* ---- all rows ---------------------------------------------------------------------------------- */

/* Rows into pinned memory, zeros behind the last. */
static void fill_pinned(float *to, const float *x, size_t n, size_t k)
{
#pragma omp parallel for
    for (size_t i = 0; i < CHUNK; i++) {
        if (i < n) memcpy(to + i * k, x + i * k, k * sizeof *to);
        else memset(to + i * k, 0, k * sizeof *to);
    }
}

static int start_chunk(linalg_device *la, lane *l, const job *j, const float *x, size_t n, void *out)
{
    int rc = 0;
    size_t k = j->m->k, bytes = CHUNK * k * sizeof(float);
    TRY(lane_need(la, l, PINNED_IN, bytes));
    TRY(lane_need(la, l, PINNED_OUT, CHUNK * j->width * j->bytes));
    TRY(lane_need(la, l, ROWS, bytes));
    fill_pinned(l->buffer[PINNED_IN], x, n, k);
    TRY(device_use(la->be));
    l->busy = 1; /* from here on the stream may use the buffers */
    l->take = NULL;
    CU(cuda.copy_in(l->buffer[ROWS], l->buffer[PINNED_IN], bytes, l->stream), "copying rows to the GPU");
    TRY(j->queue(la, l, j));
    CU(cuda.copy_out(l->buffer[PINNED_OUT], l->buffer[j->from], CHUNK * j->width * j->bytes, l->stream),
       "copying results from the GPU");
    l->take = j->take;
    l->out = out;
    l->n = n;
    l->width = j->width;
done:
    return rc;
}

static int run_job(linalg *base, const job *j, const float *x, size_t n, void *out)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    size_t chunk = 0;
    for (size_t at = 0; at < n; at += CHUNK, chunk++) {
        lane *l = &la->lane[chunk % LANES_OPEN];
        size_t rows = n - at < CHUNK ? n - at : CHUNK;
        TRY(lane_finish(la, l));
        TRY(start_chunk(la, l, j, x + at * j->m->k, rows, (char *)out + at * j->out_bytes));
    }
    for (int i = 0; i < LANES_OPEN; i++) /* the older one first */
        TRY(lane_finish(la, &la->lane[(chunk + (size_t)i) % LANES_OPEN]));
done:
    for (int i = 0; rc < 0 && i < LANES_OPEN; i++)
        lane_abandon(la, &la->lane[i]);
    return rc;
}

/* ---- what is done with the results ------------------------------------------------------------- */

static void take_floats(const void *pinned, size_t n, size_t width, void *out)
{
    memcpy(out, pinned, n * width * sizeof(float));
}

static void take_norms(const void *pinned, size_t n, size_t width, void *out)
{
    const double *square = pinned;
    float *norm = out;
    (void)width;
    for (size_t i = 0; i < n; i++)
        norm[i] = (float)sqrt(square[i]);
}

/* The expansion can round below zero. */
static void take_distances(const void *pinned, size_t n, size_t width, void *out)
{
    const double *from = pinned;
    double *least = out;
    (void)width;
    for (size_t i = 0; i < n; i++)
        least[i] = !(from[i] <= (double)FLT_MAX) ? INFINITY : from[i] > 0 ? from[i] : 0;
}

static void take_entropies(const void *pinned, size_t n, size_t width, void *out)
{
    const double *from = pinned;
    double *least = out;
    (void)width;
    for (size_t i = 0; i < n; i++)
        least[i] = from[i] > -LOG_ZERO_SEEN ? INFINITY : from[i];
}

/* ---- the table --------------------------------------------------------------------------------- */

int rows_product(linalg *la, const linalg_matrix *m, const float *x, size_t n, float *y)
{
    job j = { .m = m, .rows = m->n, .queue = queue_logits, .from = PRODUCTS, .width = m->n,
              .bytes = sizeof(float), .out_bytes = m->n * sizeof(float), .take = take_floats };
    return run_job(la, &j, x, n, y);
}

int rows_norms(linalg *la, const linalg_matrix *m, size_t rows, const linalg_matrix *origin, const float *x,
               size_t n, float *norm)
{
    job j = { .m = m, .origin = origin, .rows = rows, .queue = queue_norms, .from = RESULT, .width = 1,
              .bytes = sizeof(double), .out_bytes = sizeof(float), .take = take_norms };
    return run_job(la, &j, x, n, norm);
}

int rows_nearest(linalg *la, const linalg_matrix *a, const linalg_matrix *origin, const linalg_matrix *mean,
                 const linalg_matrix *square, const float *x, size_t n, double *least)
{
    job j = { .m = a, .origin = origin, .mean = mean, .square = square, .rows = a->n,
              .queue = queue_nearest, .from = RESULT, .width = 1, .bytes = sizeof(double),
              .out_bytes = sizeof(double), .take = take_distances };
    return run_job(la, &j, x, n, least);
}

int rows_cross_entropy(linalg *la, const linalg_matrix *m, const float *x, size_t n, double *least)
{
    job j = { .m = m, .rows = m->n, .queue = queue_cross_entropy, .from = RESULT, .width = 1,
              .bytes = sizeof(double), .out_bytes = sizeof(double), .take = take_entropies };
    return run_job(la, &j, x, n, least);
}
