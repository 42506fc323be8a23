/* The plugin's face for score: the table of score/linalg_backend.h over this folder's functions. */
#include "extract/cuda/entry.h"
#include "extract/plugin.h"
#include "score/cuda/lanes.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

static int keep(linalg *la, linalg_matrix **m, const linalg_values *v)
{
    ENTRY(rows_keep(la, m, v));
}

static int product(linalg *la, const linalg_matrix *m, const float *x, size_t n, float *y)
{
    ENTRY(rows_product(la, m, x, n, y));
}

static int norms(linalg *la, const linalg_matrix *m, size_t rows, const linalg_matrix *origin,
                 const float *x, size_t n, float *norm)
{
    ENTRY(rows_norms(la, m, rows, origin, x, n, norm));
}

static int nearest(linalg *la, const linalg_matrix *a, const linalg_matrix *origin,
                   const linalg_matrix *mean, const linalg_matrix *square, const float *x, size_t n,
                   double *least)
{
    ENTRY(rows_nearest(la, a, origin, mean, square, x, n, least));
}

static int cross_entropy(linalg *la, const linalg_matrix *m, const float *x, size_t n, double *least)
{
    ENTRY(rows_cross_entropy(la, m, x, n, least));
}

static int new_bank(linalg *la, linalg_bank **b, size_t n, size_t k)
{
    ENTRY(bank_new(la, b, n, k));
}

static int add_to_bank(linalg *la, linalg_bank *b, const float *x, size_t n)
{
    ENTRY(bank_add(la, b, x, n));
}

static int neighbours(linalg *la, const linalg_bank *b, const size_t *rank, size_t ranks, const float *x,
                      size_t n, double *distance, int64_t *index)
{
    ENTRY(bank_search(la, b, rank, ranks, x, n, distance, index));
}

static int begin(linalg *la, size_t d, const double *origins, size_t n_origins, double *second)
{
    ENTRY(moments_begin(la, d, origins, n_origins, second));
}

static int add(linalg *la, const float *x, const int32_t *of, size_t n)
{
    ENTRY(moments_add(la, x, of, n));
}

static int end(linalg *la)
{
    ENTRY(moments_end(la));
}

static int eigh(linalg *la, size_t n, double *a, double *w, size_t first, size_t take)
{
    ENTRY(eigen_solve(la, n, a, w, first, take));
}

static void describe(const linalg *base, char *text, size_t room)
{
    const linalg_device *la = (const linalg_device *)base;
    snprintf(text, room, "cuda:%d (%s)", la->be->device, la->be->facts.name);
}

static void close_device(linalg **base)
{
    linalg_device *la = (linalg_device *)*base;
    if (la == NULL) return;
    if (la->be != NULL) moments_drop(la);
    for (int i = 0; i < LANES_OPEN; i++) {
        lane *l = &la->lane[i];
        lane_abandon(la, l);
        if (l->blas != NULL) (void)cuda.blas_destroy(l->blas);
        if (l->stream != NULL) (void)cuda.stream_destroy(l->stream);
    }
    if (la->solver != NULL) (void)cuda_la.solver_destroy(la->solver);
    device_close(&la->be); /* and all memory with it */
    free(la);
    *base = NULL;
}

static const linalg_ops ops = {
    .abi = LINALG_ABI,
    .name = "cuda",
    .device = 1,
    .describe = describe,
    .close = close_device,
    .keep = keep,
    .drop = rows_drop,
    .product = product,
    .norms = norms,
    .nearest = nearest,
    .cross_entropy = cross_entropy,
    .bank_new = new_bank,
    .bank_add = add_to_bank,
    .bank_drop = bank_drop,
    .neighbours = neighbours,
    .moments_begin = begin,
    .moments_add = add,
    .moments_end = end,
    .eigh = eigh,
};

static int open_lanes(linalg_device *la)
{
    int rc = 0;
    for (int i = 0; i < LANES_OPEN; i++) {
        lane *l = &la->lane[i];
        CU(cuda.stream_create(&l->stream), "making a CUDA stream");
        BLAS(cuda.blas_create(&l->blas), "starting cuBLAS");
        BLAS(cuda.blas_set_stream(l->blas, l->stream), "giving cuBLAS its stream");
        BLAS(cuda_la.blas_exact(l->blas), "asking cuBLAS for exact products");
    }
    SOLVER(cuda_la.solver_create(&la->solver), "starting cuSOLVER");
    SOLVER(cuda_la.solver_set_stream(la->solver, la->be->stream), "giving cuSOLVER its stream");
done:
    return rc;
}

static int open_device(linalg **out, int device, size_t memory)
{
    int rc = 0;
    linalg_device *la = NULL;
    linalg *base = NULL;
    const char *emulated = getenv("CUBLAS_EMULATE_DOUBLE_PRECISION"); /* device_open refuses the others */
    CHECK(emulated == NULL || emulated[0] == '\0', ERR_ENV,
          "CUBLAS_EMULATE_DOUBLE_PRECISION=%s changes results unseen; unset it", emulated);
    TRY(mem_new(&la, 1, sizeof *la, "CUDA device"));
    base = &la->base;
    la->base.ops = &ops;
    la->memory = memory > 0 ? memory : SIZE_MAX;
    TRY(device_open(&la->be, device));
    TRY(open_lanes(la));
    *out = base;
    base = NULL;
done:
    if (rc < 0) close_device(&base);
    return rc;
}

static int open_entry(linalg **out, int device, size_t memory)
{
    ENTRY(open_device(out, device, memory));
}

static const linalg_plugin plugin = { LINALG_ABI, open_entry };

linalg_plugin_entry outpost_cuda_linalg __attribute__((visibility("default")));
const linalg_plugin *outpost_cuda_linalg(uint32_t abi, const cuda_host *program)
{
    if (abi != LINALG_ABI) return NULL;
    entry_set_host(program);
    return &plugin;
}
