/* Between resize.c and its vector paths; nothing else includes this. */
#ifndef OUTPOST_RESIZE_PARTS_H
#define OUTPOST_RESIZE_PARTS_H

#include "extract/images/resize.h"

#include <stddef.h>
#include <stdint.h>

enum { RESIZE_BITS = 22 };

static inline uint8_t resize_clip(int32_t acc)
{
    int32_t v = acc >> RESIZE_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

typedef struct resize_ruler { /* one axis: what all its outputs share */
    int in;
    double scale, support, inv;
    resize_filter f;
} resize_ruler;

resize_ruler resize_ruler_of(int in, int out, resize_filter f);
int resize_taps_max(const resize_ruler *r);
/* Taps of output xx: *lo the first, q [resize_taps_max] their weights; w is scratch of the same
 * length.  Returns their number. */
int resize_taps(const resize_ruler *r, int xx, int *lo, int32_t *q, double *w);

/* Taps of the wanted outputs of one axis.
 * Vector form: q = 256 * high + low, high signed, low 0..255, so that both fit 16 bits and one
 * multiply-add of 16-bit pairs serves two taps.
 *   across  [groups][quads][4][lanes * 8]  for `lanes` neighbouring pixels and four taps:
 *           high of taps 0,1 / high of taps 2,3 / low of 0,1 / low of 2,3; a lane is 4 x (a, b)
 *   down    [count][(max+1)/2][4]          high a, high b, low a, low b */
typedef struct resize_axis {
    int count;   /* wanted outputs */
    int max;     /* most taps of one output */
    int *lo, *n; /* [count] first tap, number of taps */
    int32_t *q;  /* [count][max] zero behind n */
    int lanes, quads;
    int16_t *across;
    int16_t *down;
} resize_axis;

/* Horizontal pass over `rows` rows: src rows sstride apart -> dst rows dstride apart; dst rows have
 * 16 spare bytes. */
void resize_across_avx2(const resize_axis *a, const uint8_t *src, size_t sstride, uint8_t *dst,
                        size_t dstride, int rows);
void resize_across_avx512(const resize_axis *a, const uint8_t *src, size_t sstride, uint8_t *dst,
                          size_t dstride, int rows);
/* One output row of the vertical pass: `bytes` bytes from rows sstride apart beginning at src (the
 * row of the first tap); q is the row's part of `down`. */
void resize_down_avx2(const int16_t *q, int n, const uint8_t *src, size_t sstride, uint8_t *dst,
                      size_t bytes);
void resize_down_avx512(const int16_t *q, int n, const uint8_t *src, size_t sstride, uint8_t *dst,
                        size_t bytes);

#endif
