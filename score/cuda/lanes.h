/* The open device of score: two lanes, each a stream with its cuBLAS handle and buffers, so that one
 * copies while the other computes.  Rows go through a lane in chunks of CHUNK, the last one filled up with
 * zeros: a row's bits depend neither on its chunk nor on how many rows the caller has. */
#ifndef OUTPOST_SCORE_LANES_H
#define OUTPOST_SCORE_LANES_H

#include "extract/cuda/device.h"
#include "score/cuda/calls_linalg.h"
#include "score/linalg_backend.h"

enum { CHUNK = 1024, LANES_OPEN = 2 };

enum lane_buffer {
    PINNED_IN,  /* rows on their way to the device */
    PINNED_OF,  /* their origins */
    PINNED_OUT, /* results */
    ROWS,       /* [CHUNK,k] f32, and from here on the device's */
    ORIGIN_OF,  /* [CHUNK] i32 */
    WIDE,       /* [CHUNK,k] f64 */
    PROJECTED,  /* [CHUNK,r] f64 */
    PRODUCTS,   /* [CHUNK,m] f64, or f32 logits */
    SQUARES,    /* [CHUNK] f64 */
    RESULT,     /* [CHUNK] f64; of a search its items */
    CANDIDATES, /* of a search: kernels/nearest.h */
    BUFFERS
};

typedef struct lane {
    void *stream, *blas;
    void *buffer[BUFFERS];
    size_t room[BUFFERS]; /* bytes */
    /* the chunk under way: what to do with its results */
    int busy;
    void (*take)(const void *pinned, size_t n, size_t width, void *out);
    void *out;
    size_t n, width; /* results of n rows, `width` of them each */
} lane;

typedef struct linalg_device {
    linalg base;
    cuda_backend *be;
    void *solver;
    lane lane[LANES_OPEN];
    size_t memory, used, pinned; /* bytes: allowed, and taken */
    /* the stream of moments */
    double *origins, *second[LANES_OPEN];
    double *result; /* the caller's */
    size_t d, n_origins, blocks;
} linalg_device;

struct linalg_matrix {
    size_t n, k;
    float *f32;
    double *f64;
};

/* Device memory below --memory. */
int device_new(linalg_device *la, size_t bytes, void **mem);
void device_drop(linalg_device *la, size_t bytes, void **mem);
/* Room for `bytes` in a buffer of an idle lane. */
int lane_need(linalg_device *la, lane *l, enum lane_buffer which, size_t bytes);
/* Waits for what is under way and hands out its results. */
int lane_finish(linalg_device *la, lane *l);
/* After a failure: waits, forgets. */
void lane_abandon(linalg_device *la, lane *l);
/* Before memory goes that queued work may use; what fails here fails again in lane_finish. */
void lanes_wait(linalg_device *la);
int lane_run(lane *l, int kernel, op_args *args);

/* rows.c, moments.c, eigen.c: linalg_ops */
int rows_keep(linalg *la, linalg_matrix **m, const linalg_values *v);
void rows_drop(linalg *la, linalg_matrix **m);
int rows_product(linalg *la, const linalg_matrix *m, const float *x, size_t n, float *y);
int rows_norms(linalg *la, const linalg_matrix *m, size_t rows, const linalg_matrix *origin, const float *x,
               size_t n, float *norm);
int rows_nearest(linalg *la, const linalg_matrix *a, const linalg_matrix *origin, const linalg_matrix *mean,
                 const linalg_matrix *square, const float *x, size_t n, double *least);
int rows_cross_entropy(linalg *la, const linalg_matrix *m, const float *x, size_t n, double *least);
int moments_begin(linalg *la, size_t d, const double *origins, size_t n_origins, double *result);
int moments_add(linalg *la, const float *x, const int32_t *of, size_t n);
int moments_end(linalg *la);
void moments_drop(linalg_device *la);
int eigen_solve(linalg *la, size_t n, double *a, double *w, size_t first, size_t take);

/* neighbours.c */
int bank_new(linalg *la, linalg_bank **b, size_t n, size_t k);
int bank_add(linalg *la, linalg_bank *b, const float *x, size_t n);
void bank_drop(linalg *la, linalg_bank **b);
int bank_search(linalg *la, const linalg_bank *b, const size_t *rank, size_t ranks, const float *x, size_t n,
                double *distance, int64_t *index);

#define SOLVER(call, doing) TRY(cuda_status(LIB_CUSOLVER, (call), (doing)))

#endif
