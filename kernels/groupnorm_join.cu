/* Group norm, step 2: mean and 1 / sqrt(var + eps) of each group, from the moments of its chunks, in order
 * and in double.
 *   x0 f32 [n, chunks, groups, 2] (kernels/groupnorm_sum.cu)      n, c, h, w: of the map; groups, eps
 *   y  f32 [n, groups, 2]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/groupnorm.h"
#include "kernels/table.h"

/* Pixels and channels of chunk i. */
OP_MATH double count_of(int i, int plane, int pixels, int per)
{
    int left = plane - i * pixels;
    return (double)(left < pixels ? left : pixels) * (double)per;
}

/* x: the first chunk's; the next is `stride` floats on. */
OP_MATH void joined(const float *x, size_t stride, int plane, int c, int per, float eps, float *y)
{
    int chunks = groupnorm_chunks(plane, c), pixels = groupnorm_pixels(c);
    double all = (double)plane * (double)per, sum = 0.0, squares = 0.0, mean;
    for (int i = 0; i < chunks; i++)
        sum += count_of(i, plane, pixels, per) * (double)x[(size_t)i * stride];
    mean = sum / all;
    for (int i = 0; i < chunks; i++) {
        double d = (double)x[(size_t)i * stride] - mean, between = d * d;
        squares += count_of(i, plane, pixels, per) * between;
        squares += (double)x[(size_t)i * stride + 1];
    }
    y[0] = (float)mean;
    y[1] = (float)(1.0 / sqrt(squares / all + (double)eps));
}
#ifndef __CUDACC__
int groupnorm_join_fwd_cpu(const op_args *a)
{
    int plane = a->h * a->w;
    size_t groups = (size_t)a->groups, chunks = (size_t)groupnorm_chunks(plane, a->c);
    for (size_t i = 0; i < (size_t)a->n * groups; i++)
        joined(op_f32(a, 0) + 2 * (i / groups * chunks * groups + i % groups), 2 * groups, plane, a->c,
               a->c / a->groups, a->eps, (float *)a->y + 2 * i);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, divisor groups, int chunks, int plane, int c,
                           int per, float eps, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int g;
        size_t n = divide(i, groups, &g);
        joined(x + 2 * (n * chunks * groups.by + g), 2 * (size_t)groups.by, plane, c, per, eps,
               y + 2 * i);
    }
}

OP_API int groupnorm_join_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->groups;
    int plane = a->h * a->w;
    launch(fwd, blocks_for(count), a->stream, op_f32(a, 0), (float *)a->y, divisor_of(a->groups),
           groupnorm_chunks(plane, a->c), plane, a->c, a->c / a->groups, a->eps, count);
    return launched("group norm join");
}
#endif
