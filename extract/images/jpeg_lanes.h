/* A sequential scan without restarts, decoded from two places at once (jpeg_lanes_avx2.c). */
#ifndef OUTPOST_JPEG_LANES_H
#define OUTPOST_JPEG_LANES_H

#include "extract/images/jpeg_entropy.h"

/* Takes MCUs first .. first + count - 1, all of one row: [count][slots][64] in natural order, where
 * coefficient 0 is still the difference to the block before of its component.  The blocks are the
 * sink's for the time of the call.  0: give up. */
typedef int jpeg_sink(void *ctx, int y, int x, int count, int16_t *blocks);

/* Blocks of an MCU in the order of the scan. */
typedef struct jpeg_mcu {
    int slots;
    struct {
        int component, x, y; /* block within the component's share of the MCU */
        const jpeg_huffman *dc, *ac;
    } slot[10];
} jpeg_mcu;

void jpeg_mcu_of(jpeg_mcu *m, const jpeg_frame *f, const jpeg_tables *t, const jpeg_scan *s);

/* int16_t's of scratch. */
size_t jpeg_lanes_room(const jpeg_frame *f);

/* clean: n bytes of the scan without stuffing and JPEG_CLEAN_PAD zeros behind.  1: every MCU was
 * there, the sink has had all in order, and less than a byte is left. */
int jpeg_lanes_decode(const jpeg_frame *f, const jpeg_mcu *m, const uint8_t *clean, size_t n,
                      int16_t *scratch, jpeg_sink *sink, void *ctx);

#endif
