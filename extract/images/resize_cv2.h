/* OpenCV's cv2.resize for 8-bit RGB, INTER_LINEAR and INTER_CUBIC (models.md 10.3): no antialiasing,
 * two or four source pixels a side whatever the factor.  Called through resize.h.
 *
 * Equal to OpenCV 4.6.0 as Debian builds it (SSE2 baseline, no IPP).  INTER_LINEAR has the same
 * bytes in every build known; INTER_CUBIC sums in float in the vectorised part of a row and in
 * integers in the rest, so that builds with other vector widths, FMA or IPP differ by 1 here and
 * there. */
#ifndef OUTPOST_RESIZE_CV2_H
#define OUTPOST_RESIZE_CV2_H

#include "extract/images/resize.h"

static inline int resize_is_cv2(resize_filter f)
{
    return f == RESIZE_CV2_BILINEAR || f == RESIZE_CV2_BICUBIC;
}

/* Plain twin of resize_plain's contract; sizes are positive. */
int resize_cv2_plain(const uint8_t *src, int w, int h, uint8_t *dst, int ow, int oh,
                     resize_filter f);

typedef struct cv2_plan cv2_plan;

/* The shape is one that resize_plan_new has checked. */
int cv2_plan_new(cv2_plan **out, const resize_shape *shape);
void cv2_plan_free(cv2_plan **p);
/* As resize_plan_run. */
void cv2_plan_run(cv2_plan *p, const uint8_t *src, uint8_t *dst, size_t stride);
/* Source columns [*x0, *x1) and rows [*y0, *y1) are read. */
void cv2_plan_reach(const cv2_plan *p, int *x0, int *x1, int *y0, int *y1);

#endif
