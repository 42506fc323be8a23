/* A JPEG as far as a record of kernels/record.h goes: its quantised coefficients, packed, of the blocks
 * that a window of its pixels needs.  Takes the files that jpeg_fast.h takes, and with the same verdict:
 * the scan is read to its end, and no coefficient of the window is larger than the inverse DCT here
 * agrees with libjpeg-turbo's for. */
#ifndef OUTPOST_JPEG_RECORD_H
#define OUTPOST_JPEG_RECORD_H

#include "extract/images/jpeg_fast.h"
#include "kernels/record.h"

typedef struct record_memory { /* a record under construction; reused from file to file */
    uint8_t *bytes;
    size_t room, used;
} record_memory;

/* Fills *d (the window, planes, values) and m from its beginning.  1: done; 0: not one for us, or one
 * whose scratch would be more than limits->scratch; negative: no memory. */
int jpeg_record(record_image *d, record_memory *m, image *im, const uint8_t *bytes, size_t n,
                const jpeg_head *head, const image_wish *wish, const record_limits *limits,
                const char *name);

/* ---- between the files of this -------------------------------------------------------------- */

enum { JPEG_PACKED = 128, JPEG_PACKED_PAD = 64 }; /* bytes of a block's values at most; of slack */

/* One block, whose coefficient 0 is dc whatever block[0] says: a word stored there would hold up the wide
 * loads.  Makes all of *b but `at`, and its values from `to` on, behind which JPEG_PACKED_PAD bytes may be
 * written; returns their end.  *bad as in jpeg_idct_avx2. */
typedef uint8_t *jpeg_pack_block(record_block *b, const int16_t *quant, const int16_t *block,
                                 int16_t dc, uint8_t *to, unsigned *bad);

static inline int jpeg_is_out_of_range(int16_t coefficient, int16_t quant)
{
    return (((uint32_t)(coefficient * quant) + 8192) & 0xc000) != 0; /* of the product's low 16 bits */
}
jpeg_pack_block jpeg_pack_block_avx2, jpeg_pack_block_avx512;

typedef struct jpeg_packer {
    const jpeg_frame *f;
    jpeg_range r;
    record_block *block[RECORD_PLANES]; /* [high][wide] of the plane */
    int wide[RECORD_PLANES];
    uint8_t *values, *to; /* where they begin, and the next goes */
    unsigned bad;         /* not 0: a coefficient is out of range */
    jpeg_pack_block *pack;
} jpeg_packer;

/* A single baseline scan; clean and lanes as in jpeg_scan_decode.  1: all of it. */
int jpeg_pack_scan(jpeg_packer *p, const jpeg_tables *t, const jpeg_scan *scan, uint8_t *clean,
                   int16_t *lanes);
/* The range's blocks of a frame that has them all. */
int jpeg_pack_frame(jpeg_packer *p);

#endif
