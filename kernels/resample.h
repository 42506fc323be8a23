/* One output pixel of Pillow's resize along one axis: the sum of its source pixels times integer weights,
 * rounded and clamped (models.md 10.2). */
#ifndef OUTPOST_KERNEL_RESAMPLE_H
#define OUTPOST_KERNEL_RESAMPLE_H

#include "kernels/record.h"

OP_MATH unsigned char resample_byte(int acc)
{
    int v = acc >> RECORD_BITS;
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Output i of the axis from the line of pixels at `line`, `step` bytes apart. */
OP_MATH void resample(const record_axis *a, const int32_t *taps, int i, const unsigned char *line, size_t step,
                      unsigned char *to)
{
    const int32_t *q = taps + 2 * a->count + (size_t)i * (size_t)a->most;
    const unsigned char *s = line + (size_t)taps[2 * i] * step;
    int n = taps[2 * i + 1], r = 1 << (RECORD_BITS - 1), g = r, b = r;
    for (int k = 0; k < n; k++, s += step) {
        r += s[0] * q[k];
        g += s[1] * q[k];
        b += s[2] * q[k];
    }
    to[0] = resample_byte(r);
    to[1] = resample_byte(g);
    to[2] = resample_byte(b);
}

#endif
