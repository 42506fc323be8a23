/* The one door to CUDA, cuBLAS and cuDNN: a table of functions, made from calls.def.
 * calls.c alone includes NVIDIA's headers and fills the table with the real functions; everything
 * else of the backend sees `cuda.stream_sync(s)` and compiles anywhere.  Tests link another table
 * (tests/mock/cuda.c), so that every call has a failure path that has run. */
#ifndef OUTPOST_CUDA_CALLS_H
#define OUTPOST_CUDA_CALLS_H

#include "kernels/table.h"

#include <stddef.h>
#include <stdint.h>

typedef struct device_facts {
    char name[128];
    char pci[32];      /* "0000:3b:00.0" */
    int major, minor;  /* compute capability */
    int processors;    /* streaming multiprocessors */
    size_t memory;     /* bytes, all of it */
} device_facts;

typedef enum element { ELEMENT_F32, ELEMENT_F16, ELEMENT_BF16 } element; /* of a tensor on the device */

/* c[i] [n,m] = alpha (a[i] or its transpose) (b[i] or its transpose), row-major, i < count; leading
 * dimensions are those in memory.  Sums are f32, inputs rounded to TF32 when it says so. */
typedef struct blas_batch {
    int a_transposed, b_transposed; /* stored [k,n] and [m,k] instead of [n,k] and [k,m] */
    int n, m, k;
    int lda, ldb, ldc;
    float alpha;
    element in, out;
    int tf32;
    int count;
    const void *const *a, *const *b; /* [count] device addresses in device memory */
    void *const *c;
} blas_batch;

/* y [rows,n] = x [rows,k] w [n,k]^T (+ residual) (+ bias [n]), then ReLU when it says so; all of one
 * type, sums f32. */
typedef struct lt_shape {
    int rows, n, k;
    element type;
    int tf32, bias, residual, relu;
} lt_shape;

typedef struct lt_operands {
    const void *x, *w, *bias, *residual;
    void *y;
    void *workspace;
} lt_operands;

typedef enum cuda_library { LIB_CUDA, LIB_CUBLAS, LIB_CUDNN, LIB_CUSOLVER } cuda_library;

typedef struct cuda_calls {
#define CALL(library, name, parameters, arguments, real) int (*name) parameters;
#include "extract/cuda/calls.def"
#undef CALL
    /* What cannot fail. */
    const char *(*error_text)(cuda_library library, int status); /* the library's words */
    void (*dnn_details)(char *text, size_t room);                /* cuDNN's last message, or "" */
    size_t (*dnn_version)(void);                                 /* 91900 is 9.19.0 */
    size_t (*lt_version)(void);                                  /* 130100 is 13.1.0 */
    void (*built)(char *text, size_t room); /* versions of the headers: "CUDA 13.0, cuDNN 9.19.0, ..." */
    const kernel_fn *kernels;                                    /* KERNEL_COUNT launchers */
} cuda_calls;

extern const cuda_calls cuda;

#endif
