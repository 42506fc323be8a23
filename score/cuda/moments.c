/* Second moments of a stream of rows: widened and centred on the device in f64, then DSYRK.
 * Blocks take turns on the two lanes, each with a sum of its own, so that one block is copied while the
 * other is multiplied; at the end the two sums are added.  f64 throughout: the error of an element is below
 * rows 2^-53 of the sum of its terms' sizes. */
#include "score/cuda/lanes.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static size_t square_bytes(const linalg_device *la)
{
    return la->d * la->d * sizeof(double);
}

void moments_drop(linalg_device *la)
{
    for (int i = 0; i < LANES_OPEN; i++) {
        lane_abandon(la, &la->lane[i]);
        device_drop(la, square_bytes(la), (void **)&la->second[i]);
    }
    device_drop(la, la->n_origins * la->d * sizeof(double), (void **)&la->origins);
    la->d = la->n_origins = la->blocks = 0;
}

int moments_begin(linalg *base, size_t d, const double *origins, size_t n_origins, double *result)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    size_t bytes = n_origins * d * sizeof(double);
    moments_drop(la);
    la->d = d;
    la->n_origins = n_origins;
    la->result = result;
    TRY(device_new(la, bytes, (void **)&la->origins));
    TRY(memory_upload(la->be, la->origins, origins, bytes));
    for (int i = 0; i < LANES_OPEN; i++) {
        TRY(device_new(la, square_bytes(la), (void **)&la->second[i]));
        TRY(memory_clear(la->be, la->second[i], square_bytes(la)));
    }
    TRY(device_sync(la->be));
done:
    if (rc < 0) moments_drop(la);
    return rc;
}

/* n rows, at most CHUNK of them. */
static int start_block(linalg_device *la, lane *l, double *second, const float *x, const int32_t *of,
                       size_t n)
{
    int rc = 0;
    size_t d = la->d, bytes = n * d * sizeof(float);
    op_args a = { .n = (int)n, .h = 1, .w = 1, .c = (int)d, .groups = of != NULL ? 2 : 1 };
    TRY(lane_need(la, l, PINNED_IN, CHUNK * d * sizeof(float)));
    TRY(lane_need(la, l, PINNED_OF, CHUNK * sizeof *of));
    TRY(lane_need(la, l, ROWS, CHUNK * d * sizeof(float)));
    TRY(lane_need(la, l, ORIGIN_OF, CHUNK * sizeof *of));
    TRY(lane_need(la, l, WIDE, CHUNK * d * sizeof(double)));
    memcpy(l->buffer[PINNED_IN], x, bytes);
    if (of != NULL) memcpy(l->buffer[PINNED_OF], of, n * sizeof *of);
    TRY(device_use(la->be));
    l->busy = 1;
    l->take = NULL;
    CU(cuda.copy_in(l->buffer[ROWS], l->buffer[PINNED_IN], bytes, l->stream), "copying rows to the GPU");
    if (of != NULL)
        CU(cuda.copy_in(l->buffer[ORIGIN_OF], l->buffer[PINNED_OF], n * sizeof *of, l->stream),
           "copying rows to the GPU");
    a.x[0] = l->buffer[ROWS];
    a.x[1] = la->origins;
    a.x[2] = l->buffer[ORIGIN_OF];
    a.y = l->buffer[WIDE];
    TRY(lane_run(l, KERNEL_widen_fwd, &a));
    BLAS(cuda_la.blas_dmoments(l->blas, n, d, l->buffer[WIDE], second), "summing second moments");
done:
    return rc;
}

int moments_add(linalg *base, const float *x, const int32_t *of, size_t n)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    CHECK(la->origins != NULL, ERR_INTERNAL, "moments: add before begin");
    for (size_t at = 0; at < n; at += CHUNK, la->blocks++) {
        size_t turn = la->blocks % LANES_OPEN, rows = n - at < CHUNK ? n - at : CHUNK;
        TRY(lane_finish(la, &la->lane[turn]));
        TRY(start_block(la, &la->lane[turn], la->second[turn], x + at * la->d,
                        of != NULL ? of + at : NULL, rows));
    }
done:
    if (rc < 0) moments_drop(la);
    return rc;
}

int moments_end(linalg *base)
{
    int rc = 0;
    linalg_device *la = (linalg_device *)base;
    size_t d = la->d;
    double *other = NULL, *second = la->result;
    CHECK(la->origins != NULL, ERR_INTERNAL, "moments: end before begin");
    TRY(mem_new_aligned(&other, d * d, sizeof *other, "second moment"));
    for (int i = 0; i < LANES_OPEN; i++)
        TRY(lane_finish(la, &la->lane[i]));
    TRY(memory_download(la->be, second, la->second[0], square_bytes(la)));
    TRY(memory_download(la->be, other, la->second[1], square_bytes(la)));
    TRY(device_sync(la->be));
#pragma omp parallel for
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++)
            second[i * d + j] += other[i * d + j];
done:
    moments_drop(la);
    free(other);
    return rc;
}
