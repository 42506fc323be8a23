/* Row sums of Gram matrices: for q = 1..groups and F = x^q as [c, h w], the row sums r of F F', then
 * sign(r) |r|^(1/q); in double, powers by products.  A row sum is the row times the sum of all rows.
 *   x0 [n,h,w,c] of any type
 * gram_total: y f64 [n, groups, h w], the sums over channels
 * gram_fwd: x1 those sums; y f32 [n, groups c]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/elements.h"

OP_MATH double gram_power(double x, int q)
{
    double p = x;
    for (int i = 1; i < q; i++)
        p *= x;
    return p;
}

OP_MATH double gram_total_at(const op_args *a, size_t o)
{
    int p, q, plane = a->h * a->w;
    size_t n = op_divide(op_divide(o, plane, &p), a->groups, &q);
    double sum = 0.0;
    for (int k = 0; k < a->c; k++)
        sum += gram_power((double)op_x(a, (n * (size_t)plane + (size_t)p) * (size_t)a->c + (size_t)k), q + 1);
    return sum;
}

OP_MATH float gram_fwd_at(const op_args *a, size_t o)
{
    int k, q, plane = a->h * a->w;
    size_t n = op_divide(op_divide(o, a->c, &k), a->groups, &q);
    const double *total = (const double *)a->x[1] + (n * (size_t)a->groups + (size_t)q) * (size_t)plane;
    double r = 0.0;
    for (int p = 0; p < plane; p++)
        r += gram_power((double)op_x(a, (n * (size_t)plane + (size_t)p) * (size_t)a->c + (size_t)k), q + 1) * total[p];
    return (float)copysign(pow(fabs(r), 1.0 / (q + 1)), r);
}

ELEMENTS_OF(gram_total, double, (size_t)a->n * (size_t)a->groups * (size_t)a->h * (size_t)a->w)
ELEMENTS_OF(gram_fwd, float, (size_t)a->n * (size_t)a->groups * (size_t)a->c)
