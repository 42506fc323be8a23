/* Resizing of 8-bit RGB as two libraries do it (models.md 10.2, 10.3): Pillow's Image.resize,
 * antialiased, separable, two passes in 22-bit fixed point; and OpenCV's cv2.resize (resize_cv2.h).
 *
 * resize_plain is the specification line by line.  A resize_plan computes a window of the result
 * (a centre crop) and only the rows and columns it needs, with tables made once per geometry and
 * vector code chosen at run time; every path gives the bytes of resize_plain. */
#ifndef OUTPOST_RESIZE_H
#define OUTPOST_RESIZE_H

#include <stddef.h>
#include <stdint.h>

typedef enum resize_filter {
    RESIZE_BILINEAR, /* Pillow */
    RESIZE_BICUBIC,
    RESIZE_CV2_BILINEAR, /* cv2.INTER_LINEAR */
    RESIZE_CV2_BICUBIC,  /* cv2.INTER_CUBIC */
    RESIZE_FILTERS
} resize_filter;

/* "bilinear", "bicubic", "cv2-bilinear", "cv2-bicubic"; NULL for RESIZE_FILTERS. */
const char *resize_filter_name(resize_filter f);

/* Bytes that must be readable behind the last pixel of a plan's source; their values are unused. */
enum { RESIZE_SLACK = 64 };

/* Plain twin: follows the specification line by line.  src [h,w,3] -> dst [oh,ow,3]. */
int resize_plain(const uint8_t *src, int w, int h, uint8_t *dst, int ow, int oh, resize_filter f);

typedef enum resize_path { RESIZE_PORTABLE, RESIZE_AVX2, RESIZE_AVX512 } resize_path;
/* The fastest path this processor has. */
resize_path resize_path_best(void);

typedef struct resize_shape {
    int w, h;         /* source */
    int ow, oh;       /* whole result */
    int x, y, cw, ch; /* the window of it that is wanted */
    resize_filter filter;
    resize_path path;
} resize_shape;

typedef struct resize_plan resize_plan;

/* ERR_INPUT when a size is not positive or the window lies outside the result. */
int resize_plan_new(resize_plan **out, const resize_shape *shape);
void resize_plan_free(resize_plan **p);
/* src [h,w,3] packed, RESIZE_SLACK readable bytes behind it -> dst [ch,cw,3] rows `stride` bytes
 * apart.  Uses the plan's scratch: one thread at a time. */
void resize_plan_run(resize_plan *p, const uint8_t *src, uint8_t *dst, size_t stride);
/* The first source row that is read and the row after the last; the same for columns. */
void resize_plan_rows(const resize_plan *p, int *first, int *end);
void resize_plan_columns(const resize_plan *p, int *first, int *end);

/* One of Pillow's passes as numbers, for those who run it themselves: output i is made of pixels
 * first[i] .. first[i] + n[i] - 1 of the source, weights in units of 2^-22. */
typedef struct resize_pass {
    int count, most;     /* outputs, taps of one at most; count 0: the pass is skipped */
    const int *first, *n;  /* [count] */
    const int32_t *weight; /* [count][most] */
} resize_pass;

/* 1: the plan is these two passes, rows across first; 0: it is none of Pillow's. */
int resize_plan_passes(const resize_plan *p, resize_pass *across, resize_pass *down);

#endif
