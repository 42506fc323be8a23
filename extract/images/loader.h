/* Decoding threads; batches come out in list order, memory is bounded by the ring of batches. */
#ifndef OUTPOST_LOADER_H
#define OUTPOST_LOADER_H

#include "common/list.h"
#include "extract/images/views.h"
#include "kernels/record.h"

enum { LOADER_FILE_MAX = 256 << 20 }; /* bytes of one image file */

typedef struct loader_batch {
    size_t row;          /* list index of the first image */
    size_t n;            /* images in it; the last batch may be short */
    uint8_t *rgb;        /* [batch, out_h, out_w, 3]; rows of bad images are zero; NULL: */
    record_batch records; /* [n] for the kernels of a backend; bad images are RECORD_EMPTY */
    uint8_t *status;     /* [batch] ROW_OK or why not (common/feature_file.h) */
    const char **reason; /* [batch] NULL or words: rule and place, without the path */
    int64_t *views;      /* [batch, VIEW_NUMBERS] of what views were cut; NULL: none */
} loader_batch;

/* Where batches lie: memory that a device copies from best. */
typedef struct loader_memory {
    void *ctx;
    int (*alloc)(void *ctx, size_t bytes, void **mem);
    void (*release)(void *ctx, void **mem);
} loader_memory;

typedef struct loader_options {
    const char *root;
    const list *images;
    size_t begin, end; /* rows of the list to deliver */
    const prep *prep;
    size_t batch; /* images per batch */
    size_t ring;  /* batches in memory, at least 2 */
    int threads;
    size_t views;  /* above 0: rows v, v + 1, ... v + views - 1 of the list are random views of one image */
    uint64_t seed; /* of the views */
    int records;                 /* 1: batches are records, 0: pixels */
    const loader_memory *memory; /* outlives the loader; NULL: malloc's */
} loader_options;

typedef struct loader_counters { /* for the progress line */
    size_t decoded;              /* images finished by the decoders */
    double decode_seconds;       /* thread seconds spent in them */
    size_t ready; /* batches that wait for the consumer: 0 means decode is the bottleneck */
} loader_counters;

typedef struct loader loader;

int loader_open(loader **out, const loader_options *o);
/* The next batch in list order; blocks until it is complete.  *out = NULL after the last.
 * Bad images (missing, not a regular file, refused by the decoder) are flagged rows, never an
 * error; ERR_ENV when a thread met a fault of the machine: no memory, no descriptors, EIO,
 * ESTALE. */
int loader_next(loader *l, loader_batch **out);
/* Gives a batch back to the ring; batches may be given back in any order. */
void loader_release(loader *l, loader_batch *b);
void loader_count(const loader *l, loader_counters *c);
/* Stops the threads at once, also in the middle of the list. */
void loader_close(loader **l);

#endif
