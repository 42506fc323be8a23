/* Between the files of resize_cv2; nothing else includes this.
 *
 * One output value is a vertical sum over 2 (linear) or 4 (cubic) source rows of horizontal sums h
 * over as many pixels, weights in units of 1/2048:
 *   linear  ((b0 * (h0 >> 4)) >> 16) + ((b1 * (h1 >> 4)) >> 16) + 2, >> 2
 *   cubic   in the first values of a row, as many as whole blocks of CV2_BLOCK hold: in float,
 *           h0*B0 + (h1*B1 + (h2*B2 + h3*B3)) with B = b / 2^22, every operation rounded, then to
 *           the nearest integer, halves to even; in the rest (sum of h*b, + 2^21) >> 22 */
#ifndef OUTPOST_RESIZE_CV2_PARTS_H
#define OUTPOST_RESIZE_CV2_PARTS_H

#include "extract/images/resize.h"

enum { CV2_ONE = 2048, CV2_BLOCK = 8, CV2_TAPS = 4 };

/* The weights of output d along an axis of `in` -> `out` pixels; returns the source index that q[0]
 * (linear) or q[1] (cubic) belongs to, which may lie outside.  `across`: the linear filter of the
 * horizontal axis never looks outside. */
int cv2_weights(resize_filter f, int in, int out, int d, int across, int16_t q[CV2_TAPS]);

/* INTER_LINEAR to exactly half in both directions is the mean of four pixels. */
static inline int cv2_is_half(const resize_shape *s)
{
    return s->filter == RESIZE_CV2_BILINEAR && s->w == 2 * (int64_t)s->ow &&
           s->h == 2 * (int64_t)s->oh;
}

static inline int cv2_inside(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static inline uint8_t cv2_linear(int32_t h0, int32_t h1, int32_t b0, int32_t b1)
{
    return (uint8_t)((((b0 * (h0 >> 4)) >> 16) + ((b1 * (h1 >> 4)) >> 16) + 2) >> 2);
}

static inline uint8_t cv2_saturate(int32_t v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Four rows and their weights. */
typedef struct cv2_rows {
    const void *h[CV2_TAPS];
    int16_t b[CV2_TAPS];
    float beta[CV2_TAPS]; /* b / 2^22 */
} cv2_rows;

static inline uint8_t cv2_cubic_whole(const int32_t h[4], const cv2_rows *r)
{
    int32_t sum = 1 << 21;
    for (int k = 0; k < 4; k++)
        sum += h[k] * r->b[k];
    return cv2_saturate(sum >> 22);
}

static inline uint8_t cv2_cubic_float(const int32_t h[4], const cv2_rows *r)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer, ties to
                                        even, of anything below 2^22 */
    float t = (float)h[2] * r->beta[2] + (float)h[3] * r->beta[3];
    t = (float)h[1] * r->beta[1] + t;
    t = (float)h[0] * r->beta[0] + t;
    return cv2_saturate((int32_t)((t + round) - round));
}

/* The wanted outputs of the horizontal axis.  Pixels outside the line are its edge pixel, so their
 * weights are added to that one's: sums of integers, nothing is lost. */
typedef struct cv2_columns {
    int count;  /* wanted outputs */
    int *lo;    /* [count + 3] first pixel */
    int16_t *q; /* [count + 3][taps] zero behind the line's end; outputs behind `count` are zero */
} cv2_columns;

/* One row: src the line's first pixel -> dst [count,3], 16 spare values behind it.  Linear stores
 * h >> 4, cubic h. */
void cv2_across_linear_avx2(const cv2_columns *c, const uint8_t *src, int16_t *dst);
void cv2_across_cubic_avx2(const cv2_columns *c, const uint8_t *src, int32_t *dst);
/* n values of one output row, from rows of int16 (linear) or int32 (cubic, by cv2_cubic_float);
 * 32 spare values are readable behind the rows. */
void cv2_down_linear_avx2(const cv2_rows *r, uint8_t *dst, size_t n);
void cv2_down_cubic_avx2(const cv2_rows *r, uint8_t *dst, size_t n);

#endif
