/* Gradient of group norm at its input: with h = g gamma and x' = (x - mean) factor, both over the channels of a group
 * and all pixels of an image, y = (h - mean(h) - x' mean(h x')) factor.
 *   x0 g, x1 x  [n,h,w,c] of one type      x2 gamma: f32 [c]      groups
 *   x3  f32 [2][n, groups, 2]: mean and factor of each group (kernels/groupnorm_join.cu), then what the first
 *       kernel makes: mean(h) and mean(h x')
 * groupnorm_back_sum: y f32 [n, groups, 2], the second half of x3, by sums in double of fixed order (kernels/lanes.h)
 * groupnorm_back: y [n,h,w,c] of x0's type; y may be x0
 * Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/elements.h"
#include "kernels/lanes.h"

/* Term i of group g of image n: h, and x' to *normed. */
OP_MATH double group_term(const op_args *a, size_t n, int group, size_t i, double *normed)
{
    int k, per = a->c / a->groups;
    size_t p = op_divide(i, per, &k);
    const float *m = op_f32(a, 3) + 2 * (n * (size_t)a->groups + (size_t)group);
    k += group * per;
    p = (n * (size_t)a->h * (size_t)a->w + p) * (size_t)a->c + (size_t)k;
    *normed = (double)((type_get(a->x[1], a->x_type, p) - m[0]) * m[1]);
    return (double)(op_x(a, p) * op_f32(a, 2)[k]);
}

OP_MATH float groupnorm_back_at(const op_args *a, size_t o)
{
    int k, p;
    size_t n = op_divide(op_divide(o, a->c, &k), a->h * a->w, &p);
    size_t group = n * (size_t)a->groups + (size_t)(k / (a->c / a->groups));
    const float *m = op_f32(a, 3) + 2 * group, *s = m + 2 * (size_t)a->n * (size_t)a->groups;
    float d = (type_get(a->x[1], a->x_type, o) - m[0]) * m[1], h = op_x(a, o) * op_f32(a, 2)[k];
    float t = d * s[1];
    return (h - s[0] - t) * m[1];
}

ELEMENTS(groupnorm_back)

#ifndef __CUDACC__
int groupnorm_back_sum_cpu(const op_args *a)
{
    size_t count = (size_t)a->h * (size_t)a->w * (size_t)(a->c / a->groups), all = (size_t)a->n * (size_t)a->groups;
    float *y = a->y;
#pragma omp parallel for
    for (size_t b = 0; b < all; b++) {
        double sum[LANES] = { 0 }, product[LANES] = { 0 };
        for (size_t i = 0; i < count; i++) {
            double d, h = group_term(a, b / (size_t)a->groups, (int)(b % (size_t)a->groups), i, &d);
            sum[i % LANES] += h;
            product[i % LANES] += h * d;
        }
        y[2 * b] = (float)(lanes_join(sum, lanes_sum) / (double)count);
        y[2 * b + 1] = (float)(lanes_join(product, lanes_sum) / (double)count);
    }
    return 0;
}
#else
static __global__ void sums(op_args a, float *y, size_t count, size_t all)
{
    __shared__ double part[WARPS];
    for (size_t b = blockIdx.x; b < all; b += gridDim.x) {
        double sum = 0.0, product = 0.0;
        int group;
        size_t n = op_divide(b, a.groups, &group);
        for (size_t i = threadIdx.x; i < count; i += BLOCK) {
            double d, h = group_term(&a, n, group, i, &d);
            sum += h;
            product += h * d;
        }
        sum = lanes_join(sum, part, lanes_sum);
        product = lanes_join(product, part, lanes_sum);
        if (threadIdx.x == 0) {
            y[2 * b] = (float)(sum / (double)count);
            y[2 * b + 1] = (float)(product / (double)count);
        }
    }
}

OP_API int groupnorm_back_sum_cuda(const op_args *a)
{
    size_t count = (size_t)a->h * (size_t)a->w * (size_t)(a->c / a->groups), all = (size_t)a->n * (size_t)a->groups;
    launch_joined(sums, grid_of(all), a->stream, *a, (float *)a->y, count, all);
    return launched("sums of group norm's gradient");
}
#endif
