/* cuBLAS, cuBLASLt and cuDNN of the mock: plain loops over host memory, sums in double. */
#ifndef OUTPOST_MOCK_LIBRARIES_H
#define OUTPOST_MOCK_LIBRARIES_H

#include "extract/cuda/calls.h"
#include "score/cuda/calls_linalg.h"

typedef struct mock_conv { /* a graph that conv.c builds */
    int n, c, h, w, k, oh, ow, kernel, stride, pad, groups;
    int relu;
    int back; /* from the gradient x [n,k,oh,ow] to y [n,c,h,w] */
    int type; /* cuDNN's number */
    const void *x, *weights, *bias, *residual;
    void *y;
    void *workspace;
} mock_conv;

typedef struct mock_layout { /* of [sequences,heads,rows,columns], in elements */
    int64_t sequence, head, row, column;
} mock_layout;

typedef struct mock_sdpa { /* a graph that sdpa.c builds */
    int sequences, heads, t, d;
    int type; /* cuDNN's number */
    mock_layout q_at, k_at, v_at, y_at, bias_at;
    const void *q, *k, *v;
    const float *bias; /* NULL: none */
    float scale;
    void *y, *workspace;
} mock_sdpa;

typedef struct mock_linalg { /* score/cuda/calls_linalg.def */
    enum { MOCK_PRODUCT, MOCK_DPRODUCT, MOCK_DMOMENTS, MOCK_EIGEN } what;
    la_product product;
    la_eigen eigen;
    size_t n, d;
    const double *x;
    double *second;
} mock_linalg;

typedef struct mock_library { /* queued work of one of them */
    enum { MOCK_BATCH, MOCK_LINEAR, MOCK_CONV, MOCK_SDPA, MOCK_LINALG } what;
    blas_batch batch;
    lt_shape shape;
    lt_operands operands;
    mock_conv conv;
    mock_sdpa sdpa;
    mock_linalg linalg;
} mock_library;

void mock_library_run(const mock_library *l);
void mock_conv_run(const mock_conv *c);
void mock_sdpa_run(const mock_sdpa *s);
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

/* Numbers of a type, f32 <-> memory, to nearest even; an array of them, which the caller frees. */
float mock_load(const void *p, size_t i, element e);
void mock_store(void *p, size_t i, element e, double value);
float *mock_floats(const void *p, size_t n, element e);

void mock_made(int difference); /* counts things that must be given back */

#endif
