/* Records of images (kernels/record.h) through the CPU twins of the decode kernels: what backends in host
 * memory do with them. */
#ifndef OUTPOST_RECORD_RUN_H
#define OUTPOST_RECORD_RUN_H

#include "extract/images/preprocess.h"
#include "kernels/record.h"

typedef struct record_decoder record_decoder;

/* For batches of the recipe's images. */
int record_decoder_new(record_decoder **out, const prep *p, size_t batch);
void record_decoder_free(record_decoder **d);
/* Images first .. first + n - 1 of a batch -> *rgb [n,h,w,3], the decoder's, until the next call. */
int record_decode(record_decoder *d, const record_batch *b, size_t first, size_t n,
                  const uint8_t **rgb);

#endif
