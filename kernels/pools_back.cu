/* Gradients of pools, each element gathering from the windows that cover it, in order.  h, w: of the map and of
 * y; oh, ow: of the pooled map and of the gradient x0.  kernel, stride, pad as in the pool.
 *
 * maxpool_back: a window's gradient goes to the first of its largest elements in row-major order, and is dropped
 * where that is a zero of the border (KF_ZERO_PAD); of several NaN the last is taken, as the forward pass does.
 *   x0 g [n,oh,ow,c], of y's type or f32      x1 [n,h,w,c] of y's type, what was pooled      y [n,h,w,c]
 * avgpool_back: every element of a window gets its share, one over the elements inside the map.
 *   x0 g [n,oh,ow,c]      y [n,h,w,c], of one type or one of them f32
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/elements.h"

/* [*from,*to): the windows that cover position i along one axis. */
OP_MATH void windows_over(int i, int out, int kernel, int stride, int pad, int *from, int *to)
{
    int first = i + pad - kernel + 1, last = (i + pad) / stride + 1;
    *from = first > 0 ? (first + stride - 1) / stride : 0;
    *to = last < out ? last : out;
}

/* The element of plane x, `step` apart, that window (oy, ox) took: its index h w + w, -1: none. */
OP_MATH int window_winner(const op_args *a, size_t plane, int k, int oy, int ox)
{
    float most = -INFINITY;
    int at = -1, zero_pad = (a->flags & KF_ZERO_PAD) != 0;
    for (int ky = 0; ky < a->kernel; ky++)
        for (int kx = 0; kx < a->kernel; kx++) {
            int i = oy * a->stride + ky - a->pad, j = ox * a->stride + kx - a->pad;
            int outside = i < 0 || i >= a->h || j < 0 || j >= a->w;
            float v = 0.0f;
            if (outside && !zero_pad) continue;
            if (!outside)
                v = type_get(a->x[1], a->y_type, (plane + (size_t)(i * a->w + j)) * (size_t)a->c + (size_t)k);
            if (!(v > most || v != v)) continue;
            most = v;
            at = outside ? -1 : i * a->w + j;
        }
    return at;
}

OP_MATH float maxpool_back_at(const op_args *a, size_t o)
{
    int k, i, j, y0, y1, x0, x1;
    size_t n = op_divide(op_divide(op_divide(o, a->c, &k), a->w, &j), a->h, &i);
    float sum = 0.0f;
    windows_over(i, a->oh, a->kernel, a->stride, a->pad, &y0, &y1);
    windows_over(j, a->ow, a->kernel, a->stride, a->pad, &x0, &x1);
    for (int oy = y0; oy < y1; oy++)
        for (int ox = x0; ox < x1; ox++)
            if (window_winner(a, n * (size_t)a->h * (size_t)a->w, k, oy, ox) == i * a->w + j)
                sum += op_x(a, ((n * (size_t)a->oh + (size_t)oy) * (size_t)a->ow + (size_t)ox) * (size_t)a->c +
                                   (size_t)k);
    return sum;
}

OP_MATH float avgpool_back_at(const op_args *a, size_t o)
{
    int k, i, j, y0, y1, x0, x1, top, bottom, left, right;
    size_t n = op_divide(op_divide(op_divide(o, a->c, &k), a->w, &j), a->h, &i);
    float sum = 0.0f;
    windows_over(i, a->oh, a->kernel, a->stride, a->pad, &y0, &y1);
    windows_over(j, a->ow, a->kernel, a->stride, a->pad, &x0, &x1);
    for (int oy = y0; oy < y1; oy++)
        for (int ox = x0; ox < x1; ox++) {
            size_t at = (n * (size_t)a->oh + (size_t)oy) * (size_t)a->ow + (size_t)ox;
            (void)op_window(oy, a->h, a->kernel, a->stride, a->pad, &top, &bottom);
            (void)op_window(ox, a->w, a->kernel, a->stride, a->pad, &left, &right);
            sum += op_x(a, at * (size_t)a->c + (size_t)k) / (float)((bottom - top) * (right - left));
        }
    return sum;
}

ELEMENTS(maxpool_back)
ELEMENTS(avgpool_back)
