/* The open device, for the files of extract/cuda/. */
#ifndef OUTPOST_CUDA_DEVICE_H
#define OUTPOST_CUDA_DEVICE_H

#include "extract/cuda/calls.h"
#include "extract/cuda/errors.h"

#include <stddef.h>

typedef struct cuda_block { /* memory that close must not forget */
    void *mem;
    int host; /* pinned host memory, not the device's */
} cuda_block;

struct cuda_backend {
    int device;
    device_facts facts;
    void *stream;          /* all work of this backend, in order */
    void *blas, *lt, *dnn; /* library handles, on `stream` */
    cuda_block *blocks;
    size_t n_blocks, room;
};

/* device.c */
int device_count(int *devices);
void device_describe(char *text, size_t room);
int device_open(cuda_backend **out, int device);
void device_close(cuda_backend **be);
int device_sync(cuda_backend *be);
/* The runtime's current device is per thread; every entry of the plugin begins with this. */
int device_use(cuda_backend *be);

/* memory.c */
enum { DEVICE_ALIGN = 256 };
int memory_alloc(cuda_backend *be, size_t bytes, int host, void **mem);
void memory_release(cuda_backend *be, void **mem);
void memory_release_all(cuda_backend *be);
int memory_upload(cuda_backend *be, void *dst, const void *src, size_t bytes);
int memory_download(cuda_backend *be, void *dst, const void *src, size_t bytes);
int memory_clear(cuda_backend *be, void *dst, size_t bytes);

/* device.c: checks, then queues kernel `kernel` on the stream. */
int device_run(cuda_backend *be, int kernel, const op_args *args);

/* selftest.c: ERR_ENV when known bytes do not become known bits. */
int device_selftest(cuda_backend *be);

#endif
