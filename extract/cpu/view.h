/* A tensor in memory as CPU kernels see it: NHWC inside an arena.  Element (n,y,x,c) is
 * p[n * image + y * row + x * ld + c]; ld > c where it is a slice of a concatenation, and up to
 * `halo` rows and columns of zeros lie around the map. */
#ifndef OUTPOST_VIEW_H
#define OUTPOST_VIEW_H

#include <stddef.h>

typedef struct view {
    float *p;
    int c, h, w, halo;
    size_t ld, row, image;
} view;

#endif
