/* A tensor in memory as CPU kernels see it: NHWC inside an arena.  Element (n,y,x,c) lies at
 * n * image + y * row + x * ld + c; ld > c where it is a slice of a concatenation, and up to `halo`
 * rows and columns of zeros lie around the map.  Elements are float, or bf16 in the maps of a bf16
 * network (vectors stay float). */
#ifndef OUTPOST_VIEW_H
#define OUTPOST_VIEW_H

#include <stddef.h>
#include <stdint.h>

typedef uint16_t bf16; /* the upper half of a float */

typedef struct view {
    void *p;                /* element (0,0,0,0) */
    int c, h, w, halo;
    size_t ld, row, image;  /* in elements */
    int is_bf16;
} view;

static inline size_t view_bytes(const view *v)
{
    return v->is_bf16 ? sizeof(bf16) : sizeof(float);
}

static inline float bf16_to_float(bf16 v)
{
    union {
        uint32_t u;
        float f;
    } t = { (uint32_t)v << 16 };
    return t.f;
}

/* Round to nearest even; NaN stays NaN. */
static inline bf16 bf16_from_float(float f)
{
    union {
        float f;
        uint32_t u;
    } t = { f };
    uint32_t u = f != f ? t.u | 0x400000 : t.u + 0x7fff + (t.u >> 16 & 1);
    return (bf16)(u >> 16);
}

#endif
