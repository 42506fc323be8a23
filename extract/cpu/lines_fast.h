/* Lines of bf16 in the instructions of AVX512_BF16, the same as in lines.h but rounded by the
 * processor.  For lines.c, which takes them where they run, and for the test that compares both. */
#ifndef OUTPOST_LINES_FAST_H
#define OUTPOST_LINES_FAST_H

#include "extract/cpu/lines.h"

#define FAST_LINE(name, ...)                                                                       \
    void line_##name##_plain(__VA_ARGS__);                                                         \
    void line_##name##_fast(__VA_ARGS__)

FAST_LINE(scale, ROW_XY, const float *s, const float *t, float low, float high);
FAST_LINE(norm, ROW_XY, const float *m, const float *s, const float *t, float low, float high);
FAST_LINE(gate, ROW_XY, const float *s);
FAST_LINE(plus, ROW_XY, const float *t);
FAST_LINE(bound, ROW_XY, float low, float high);
FAST_LINE(add, ROW_XY, const void *z, size_t z_ld, float low, float high);
FAST_LINE(layernorm, ROW_XY, const float *gamma, const float *beta, float eps, float *t);
FAST_LINE(narrow, const float *x, void *y, size_t c);

#undef FAST_LINE

#endif
