/* The table made from calls_linalg.def: cuBLAS and cuSOLVER for score, replaceable by tests like
 * extract/cuda/calls.h.  All addresses are the device's unless said otherwise. */
#ifndef OUTPOST_CALLS_LINALG_H
#define OUTPOST_CALLS_LINALG_H

#include <stddef.h>

typedef struct la_product { /* c[m,n] = a[m,k] b[n,k]', row-major and dense */
    size_t m, n, k;
    const void *a, *b;
    void *c;
} la_product;

/* a[n,n], lower triangle -> eigenvectors as rows, w[n] ascending; *info 0 when it converged. */
typedef struct la_eigen {
    size_t n;
    double *a, *w;
    void *device, *host; /* workspaces, there and here */
    size_t device_bytes, host_bytes;
    int *info;
} la_eigen;

typedef struct linalg_calls {
#define CALL(library, name, parameters, arguments, real) int (*name) parameters;
#include "score/cuda/calls_linalg.def"
#undef CALL
} linalg_calls;

extern const linalg_calls cuda_la;

#endif
