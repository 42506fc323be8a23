/* Image files to records of kernels/record.h: as much as the CPU does of a decode that a backend's
 * kernels finish (extract/record_run.h).  What the kernels make of a record are the bytes of prep_decode. */
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

#endif
