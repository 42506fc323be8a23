/* Our own decoder for the common kind of JPEG: one baseline Huffman scan of grey or YCbCr samples,
 * 4:4:4, 4:2:2, 4:4:0 or 4:2:0, undamaged to the end marker.  Such a file gets the bytes of
 * libjpeg-turbo; everything else is left to libjpeg-turbo itself, also each file in which anything
 * unusual shows up on the way. */
#ifndef OUTPOST_JPEG_FAST_H
#define OUTPOST_JPEG_FAST_H

#include "extract/images/image_parts.h"

/* 1: decoded; 0: not one for us, the image is untouched or holds rubbish; negative: no memory.
 * Only the pixels of the window are made; the file is checked to its end all the same. */
int jpeg_fast_decode(image *im, const uint8_t *bytes, size_t n, const jpeg_head *head,
                     const image_wish *wish, const char *name);

/* ---- between the files of this decoder ------------------------------------------------------- */

enum { JPEG_LOOK = 11 }; /* bits of a look-up */

/* A Huffman table.  look[next JPEG_LOOK bits]:
 *   value << 16 | run << 8 | bits          code and value both fit: drop `bits`, skip `run`, store
 *   JPEG_EOB_RUN << 8 | bits               end of block: the run leads out of any block
 *   symbol << 16 | JPEG_SLOW | code bits   only the code fits; code bits 0: it is longer than
 * that */
typedef struct jpeg_huffman {
    uint32_t look[1 << JPEG_LOOK];
    int32_t max[18];    /* largest code of each length, -1: none; [17] stops every search */
    int32_t offset[17]; /* index of its symbol minus the code */
    uint8_t symbol[256];
    uint8_t counts[16]; /* as in the file; what the rest was made from */
    int defined, is_dc;
} jpeg_huffman;

enum { JPEG_SLOW = 0x80, JPEG_EOB_RUN = 128 };

typedef struct jpeg_component {
    int id, h, v;      /* sampling factors */
    int quant, dc, ac; /* tables */
    int blocks_wide;   /* blocks of a decoded row of MCUs */
    int width, height; /* real samples */
    uint8_t *plane;    /* sample 0,0 */
    size_t stride;
} jpeg_component;

enum { JPEG_PLANE_PAD = 32 }; /* bytes left and right of each plane row */

typedef struct jpeg_frame {
    int w, h, n; /* components: 1 or 3 */
    int hmax, vmax, mcus_x, mcus_y;
    jpeg_component c[3];
    _Alignas(32) int16_t quant[4][64]; /* natural order */
    int quant_defined[4];
    const uint8_t *scan; /* first byte of entropy-coded data */
    size_t scan_bytes;   /* to the end of the file */
} jpeg_frame;

/* Tables made for the last file; most files share them. */
typedef struct jpeg_tables {
    jpeg_huffman dc[4], ac[4];
} jpeg_tables;

/* Natural position of the k-th coefficient. */
extern const uint8_t jpeg_natural[64];

/* 1: an ordinary file, *f filled; 0: not. */
int jpeg_fast_head(jpeg_frame *f, jpeg_tables *t, const uint8_t *bytes, size_t n);

/* Vector code (jpeg_fast_avx2.c), all exact.
 * A batch of blocks, coefficients in natural order -> 8x8 samples each; the coefficients are
 * zeroed. *bad is set when a dequantised value was outside -8192 .. 8191: no encoder writes one,
 * and within it no 16-bit sum of the first pass overflows. */
enum { JPEG_BATCH = 4 };

typedef struct jpeg_block {
    _Alignas(64) int16_t v[64 + 32]; /* behind the coefficients: a place for what belongs nowhere */
} jpeg_block;

typedef struct jpeg_batch {
    jpeg_block block[JPEG_BATCH];
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
