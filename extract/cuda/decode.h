/* Batches of records (kernels/record.h) to the bytes of images, on the device: their way up, and the decode
 * kernels on the backend's stream, a group of images at a time. */
#ifndef OUTPOST_CUDA_DECODE_H
#define OUTPOST_CUDA_DECODE_H

#include "extract/backend.h"
#include "extract/cuda/device.h"

enum { DECODE_SLOTS = 2 };

typedef struct cuda_decode {
    cuda_backend *be; /* NULL: not open */
    size_t h, w;
    record_limits limits;
    void *d_records[DECODE_SLOTS]; /* a batch each: its record_images, then its records */
    void *d_scratch;
    size_t bytes; /* device memory held */
} cuda_decode;

/* For batches of up to o->batch images. */
int decode_open(cuda_decode *k, cuda_backend *be, const backend_options *o);
void decode_close(cuda_decode *k);
/* Queues images first .. first + n - 1 of b -> d_rgb [n,h,w,3] on the backend's stream.  A whole batch goes up
 * in one copy on the stream `up`, with `uploaded` behind it; a part record by record. */
int decode_queue(cuda_decode *k, int slot, const record_batch *b, size_t first, size_t n, void *up,
                 void *uploaded, void *d_rgb);

#endif
