/* Where the tokens of attention windows lie.  The map [h,w] is shifted up and left by `shift`, cyclic, and
 * cut into windows of window x window pixels, row-major, tokens row-major inside (Liu et al. 2021,
 * arXiv:2103.14030; models.md 4.3).  window 0: the whole map is one window, and nothing is shifted. */
#ifndef OUTPOST_KERNEL_WINDOWS_H
#define OUTPOST_KERNEL_WINDOWS_H

#include "kernels/op.h"

/* Which of the three stripes that the shift makes along an axis; u is the shifted coordinate. */
OP_MATH int window_stripe(int u, int length, int window, int shift)
{
    return u < length - window ? 0 : u < length - shift ? 1 : 2;
}

/* From the shifted map to the map, and back. */
OP_MATH int window_unshift(int u, int length, int shift)
{
    return u + shift < length ? u + shift : u + shift - length;
}

OP_MATH int window_shift(int u, int length, int shift)
{
    return u >= shift ? u - shift : u - shift + length;
}

/* Row of the bias table [(2 window - 1)^2, heads] for the query at (qy,qx) and the key at (ky,kx) of a
 * window. */
OP_MATH int window_bias_row(int qy, int qx, int ky, int kx, int window)
{
    return (qy - ky + window - 1) * (2 * window - 1) + qx - kx + window - 1;
}

/* What softmax sees: the product of query and key, scaled, plus bias, less 100 where the shift brought
 * together what does not belong together.  Rounded one by one, in the order of the published code. */
OP_MATH float window_score(float x, float scale, float bias, int apart)
{
    float s = x * scale;
    s = s + bias;
    return apart ? s - 100.0f : s;
}

#endif
