/* Our own decoder for the common kinds of JPEG: Huffman-coded, baseline or progressive, grey or
 * YCbCr samples, 4:4:4, 4:2:2, 4:4:0 or 4:2:0, complete and undamaged to the end marker.  Such a
 * file gets the bytes of libjpeg-turbo; everything else is left to libjpeg-turbo itself, also each
 * file in which anything unusual shows up on the way. */
#ifndef OUTPOST_JPEG_FAST_H
#define OUTPOST_JPEG_FAST_H

#include "extract/images/image_parts.h"
#include "extract/images/jpeg_entropy.h"

/* 1: decoded; 0: not one for us, the image is untouched or holds rubbish; negative: no memory.
 * Only the pixels of the window are made; the file is checked to its end all the same. */
int jpeg_fast_decode(image *im, const uint8_t *bytes, size_t n, const jpeg_head *head,
                     const image_wish *wish, const char *name);

/* ---- between the files of this decoder ------------------------------------------------------- */

/* MCUs whose samples are wanted. */
typedef struct jpeg_range {
    int x0, x1, y0, y1;
} jpeg_range;

/* Whether sampling and colour are of the kinds that are made here. */
int jpeg_has_pixels(const jpeg_frame *f);
/* The MCUs that have pixels in or near the window. */
void jpeg_range_of(const jpeg_frame *f, const image_window *w, jpeg_range *r);
/* Header of a file up to its first scan, which it takes if jpeg_has_pixels: 1; 0: not one for us;
 * negative: no memory.  im->work begins with the tables, which stay from file to file. */
int jpeg_open(image *im, jpeg_reader *r, jpeg_frame *f, jpeg_scan *s, const uint8_t *bytes, size_t n,
              const jpeg_head *head, const char *name);
/* Gives back what im->work has beyond a common image's need. */
void jpeg_trim_work(image *im);

enum { JPEG_PLANE_PAD = 32 }; /* bytes left and right of each plane row */

/* Natural position of the k-th coefficient. */
extern const uint8_t jpeg_natural[64];

/* Vector code (jpeg_fast_avx2.c), all exact.
 * A batch of blocks, coefficients in natural order -> 8x8 samples each.  *bad is set when a
 * dequantised value was outside -8192 .. 8191: no encoder writes one, and within it no 16-bit sum of
 * the first pass overflows. */
enum { JPEG_BATCH = 4 };

typedef struct jpeg_batch {
    const int16_t *block[JPEG_BATCH];
    const int16_t *quant[JPEG_BATCH]; /* natural order, 32-byte aligned */
    uint8_t *dst[JPEG_BATCH];
    size_t stride[JPEG_BATCH];
    int n;
} jpeg_batch;

void jpeg_idct_avx2(jpeg_batch *q, unsigned *bad);
void jpeg_idct_avx512(jpeg_batch *q, unsigned *bad);
/* Output samples 2*from .. 2*to of a row, to - from rounded up to 16: out[0] is sample 2*from.
 * a[-1] and a[n] repeat the row's ends. */
void jpeg_up_h2v1_avx2(const uint8_t *a, int from, int to, uint8_t *out);
void jpeg_up_h2v2_avx2(const uint8_t *near, const uint8_t *far, int from, int to, uint8_t *out);
void jpeg_up_h1v2_avx2(const uint8_t *near, const uint8_t *far, int n, int bias, uint8_t *out);
/* n pixels; reads up to 16 bytes more of each, writes exactly n. */
void jpeg_rgb_avx2(const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int n, uint8_t *rgb);
void jpeg_grey_avx2(const uint8_t *y, int n, uint8_t *rgb);

#endif
