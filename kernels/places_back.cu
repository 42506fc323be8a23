/* Gradients of what only moves elements.  n, h, w, c: of y.
 *
 * gap_back: the mean's, y[n,i,j,c] = x[n,c] / (h w).      x0 f32 [n,c]      y any type
 * merge_back: from the four pixels of patch merging to where they were.  x0 [n,oh,ow,4c]
 * unfold_back: sums of what came from a pixel, by ky, then kx.  x0 [n,oh,ow,c kernel^2]; kernel, stride, pad
 * shortcut_a_back: even rows and columns get channels x_at ... of x0 [n,oh,ow,x_c], the others 0.
 * x0 and y of one type but in the first.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/elements.h"

OP_MATH float gap_back_at(const op_args *a, size_t o)
{
    int k, p, plane = a->h * a->w;
    size_t n = op_divide(op_divide(o, a->c, &k), plane, &p);
    return op_x(a, n * (size_t)a->c + (size_t)k) / (float)plane;
}

OP_MATH size_t pixel_of(const op_args *a, size_t n, int oy, int ox)
{
    return (n * (size_t)a->oh + (size_t)oy) * (size_t)a->ow + (size_t)ox;
}

OP_MATH float merge_back_at(const op_args *a, size_t o)
{
    int k, i, j;
    size_t n = op_divide(op_divide(op_divide(o, a->c, &k), a->w, &j), a->h, &i);
    size_t part = (size_t)(i % 2 + j % 2 * 2);
    return op_x(a, (pixel_of(a, n, i / 2, j / 2) * 4 + part) * (size_t)a->c + (size_t)k);
}

OP_MATH float unfold_back_at(const op_args *a, size_t o)
{
    int k, i, j, area = a->kernel * a->kernel;
    size_t n = op_divide(op_divide(op_divide(o, a->c, &k), a->w, &j), a->h, &i);
    float sum = 0.0f;
    for (int ky = 0; ky < a->kernel; ky++) {
        int dy = i + a->pad - ky, oy = dy / a->stride;
        if (dy < 0 || dy % a->stride != 0 || oy >= a->oh) continue;
        for (int kx = 0; kx < a->kernel; kx++) {
            int dx = j + a->pad - kx, ox = dx / a->stride;
            if (dx < 0 || dx % a->stride != 0 || ox >= a->ow) continue;
            sum += op_x(a, (pixel_of(a, n, oy, ox) * (size_t)a->c + (size_t)k) * (size_t)area +
                               (size_t)(ky * a->kernel + kx));
        }
    }
    return sum;
}

OP_MATH float shortcut_a_back_at(const op_args *a, size_t o)
{
    int k, i, j;
    size_t n = op_divide(op_divide(op_divide(o, a->c, &k), a->w, &j), a->h, &i);
    if (i % 2 != 0 || j % 2 != 0) return 0.0f;
    return op_x(a, pixel_of(a, n, i / 2, j / 2) * (size_t)a->x_c + (size_t)(a->x_at + k));
}

ELEMENTS(gap_back)
ELEMENTS(merge_back)
ELEMENTS(unfold_back)
ELEMENTS(shortcut_a_back)
