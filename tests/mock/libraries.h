/* cuBLAS, cuBLASLt and cuDNN of the mock: plain loops over host memory, sums in double. */
#ifndef OUTPOST_MOCK_LIBRARIES_H
#define OUTPOST_MOCK_LIBRARIES_H

#include "extract/cuda/calls.h"
#include "score/cuda/calls_linalg.h"

typedef struct mock_conv { /* a graph that conv.c builds */
    int n, c, h, w, k, oh, ow, kernel, stride, pad, groups;
    int relu;
    int type; /* cuDNN's number */
    const void *x, *weights, *bias, *residual;
    void *y;
    void *workspace;
    size_t workspace_bytes;
} mock_conv;

typedef struct mock_linalg { /* score/cuda/calls_linalg.def */
    enum { MOCK_PRODUCT, MOCK_DPRODUCT, MOCK_DMOMENTS, MOCK_EIGEN } what;
    la_product product;
    la_eigen eigen;
    size_t n, d;
    const double *x;
    double *second;
} mock_linalg;

typedef struct mock_library { /* queued work of one of them */
    enum { MOCK_BATCH, MOCK_LINEAR, MOCK_CONV, MOCK_LINALG } what;
    blas_batch batch;
    lt_shape shape;
    lt_operands operands;
    mock_conv conv;
    mock_linalg linalg;
} mock_library;

void mock_library_run(const mock_library *l);
void mock_linalg_run(const mock_linalg *l);
int mock_push(void *stream, const mock_library *l); /* queues it; a status of CUDA */
/* The calls themselves: calls.def. */
int host_blas_create(void **handle);
int host_blas_destroy(void *handle);
int host_blas_set_stream(void *handle, void *stream);
int host_blas_set_workspace(void *handle, void *mem, size_t bytes);
int host_blas_batch(void *handle, const blas_batch *b);
int host_lt_create(void **handle);
int host_lt_destroy(void *handle);
int host_lt_plan(void **out, void *handle, const lt_shape *s, size_t workspace);
int host_lt_plan_free(void *made);
int host_lt_run(void *handle, void *made, const lt_operands *o, void *stream);
int host_dnn_create(void **handle);
int host_dnn_destroy(void *handle);
int host_dnn_set_stream(void *handle, void *stream);
int host_dnn_new(void **descriptor, int type);
int host_dnn_free(void *descriptor);
int host_dnn_set(void *descriptor, int attribute, int type, int64_t n, const void *v);
int host_dnn_get(void *descriptor, int attribute, int type, int64_t room, int64_t *n, void *v);
int host_dnn_finalise(void *descriptor);
int host_dnn_execute(void *handle, void *plan, void *pack);

void mock_made(int difference); /* counts things that must be given back */

#endif
