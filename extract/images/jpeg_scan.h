/* A single baseline scan straight to samples (jpeg_scan_avx2.c). */
#ifndef OUTPOST_JPEG_SCAN_H
#define OUTPOST_JPEG_SCAN_H

#include "extract/images/jpeg_fast.h"

/* Decodes the scan into the components' planes.  clean has scan->bytes + JPEG_CLEAN_PAD bytes,
 * blocks jpeg_lanes_room int16_t's.  1: every MCU was there and the end marker follows; 0:
 * something else. */
int jpeg_scan_decode(const jpeg_frame *f, const jpeg_tables *t, const jpeg_scan *scan,
                     const jpeg_range *wanted, uint8_t *clean, int16_t *blocks);

#endif
