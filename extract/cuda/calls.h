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

typedef enum cuda_library { LIB_CUDA, LIB_CUBLAS, LIB_CUDNN } cuda_library;

typedef struct cuda_calls {
#define CALL(library, name, parameters, arguments, real) int (*name) parameters;
#include "extract/cuda/calls.def"
#undef CALL
    /* What cannot fail. */
    const char *(*error_text)(cuda_library library, int status); /* the library's words */
    void (*dnn_details)(char *text, size_t room);                /* cuDNN's last message, or "" */
    size_t (*dnn_version)(void);                                 /* 91900 is 9.19.0 */
    size_t (*lt_version)(void);                                  /* 130100 is 13.1.0 */
    const kernel_fn *kernels;                                    /* KERNEL_COUNT launchers */
} cuda_calls;

extern const cuda_calls cuda;

#endif
