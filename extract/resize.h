/* Pillow's Image.resize for 8-bit RGB: separable, two passes, 22-bit fixed point (models.md 10.2). */
#ifndef OUTPOST_RESIZE_H
#define OUTPOST_RESIZE_H

#include <stddef.h>
#include <stdint.h>

typedef enum resize_filter { RESIZE_BILINEAR, RESIZE_BICUBIC } resize_filter;

/* Plain twin: follows the specification line by line.  src [h,w,3] -> dst [oh,ow,3]. */
int resize_plain(const uint8_t *src, int w, int h, uint8_t *dst, int ow, int oh, resize_filter f);

#endif
