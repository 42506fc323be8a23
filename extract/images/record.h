/* Image files to records of kernels/record.h: as much as the CPU does of a decode that a backend's
 * kernels finish.  What the kernels make of a record are the bytes of prep_decode. */
#ifndef OUTPOST_RECORD_H
#define OUTPOST_RECORD_H

#include "extract/images/jpeg_record.h"
#include "extract/images/preprocess.h"

/* Bytes of a file -> *d and the record in m, from its beginning.  1: done; 0: this file, or this recipe,
 * is none for the kernels: prep_decode has the last word on it; ERR_ENV: no memory. */
int record_make(record_image *d, record_memory *m, const prep *p, prep_scratch *s, image *im,
                const uint8_t *bytes, size_t n, const char *name, const record_limits *limits);
/* Pixels that are done, as prep_decode gives them. */
record_image record_of_pixels(const prep *p);
void record_memory_clear(record_memory *m);

/* ---- the kernels' CPU twins (record_run.c) ---------------------------------------------------- */

typedef struct record_decoder record_decoder;

/* For batches of the recipe's images. */
int record_decoder_new(record_decoder **out, const prep *p, size_t batch);
void record_decoder_free(record_decoder **d);
/* Images first .. first + n - 1 of a batch -> *rgb [n,h,w,3], the decoder's, until the next call. */
int record_decode(record_decoder *d, const record_batch *b, size_t first, size_t n,
                  const uint8_t **rgb);

#endif
