/* Layer-wise Gaussian score of a vector x: P (x - m_k) of the class k whose (x - m_k)' P (x - m_k) is least, of equal
 * ones the first; P symmetric.  In double: the distance without x' P x is m_k' P m_k - 2 (P m_k)' x.
 *   x0 x, y  f32 [n,h,w,c], a vector each; y may not be x0      x1 m: f32 [groups,c]      x2 P: f32 [c,c]
 *   x3 f64 [groups, c + 1]: P m_k, then m_k' P m_k      groups: classes
 * Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/lanes.h"
#include "kernels/table.h"

/* Element j of P (x - m), P by columns. */
OP_MATH float gaussian_at(const op_args *a, const float *x, int best, int j)
{
    const float *m = op_f32(a, 1) + (size_t)best * (size_t)a->c, *p = op_f32(a, 2);
    double sum = 0.0;
    for (int i = 0; i < a->c; i++)
        sum += (double)p[(size_t)i * (size_t)a->c + (size_t)j] * ((double)x[i] - (double)m[i]);
    return (float)sum;
}
#ifndef __CUDACC__
int gaussian_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    float *y = a->y;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const float *x = op_f32(a, 0) + r * c;
        double least = INFINITY;
        int best = 0;
        for (int k = 0; k < a->groups; k++) {
            const double *of = (const double *)a->x[3] + (size_t)k * (c + 1);
            double lane[LANES] = { 0 }, here;
            for (size_t j = 0; j < c; j++)
                lane[j % LANES] += of[j] * (double)x[j];
            here = of[c] - 2.0 * lanes_join(lane, lanes_sum);
            if (here < least) {
                least = here;
                best = k;
            }
        }
        for (int j = 0; j < a->c; j++)
            y[r * c + (size_t)j] = gaussian_at(a, x, best, j);
    }
    return 0;
}
#else
static __global__ void fwd(op_args a, size_t rows)
{
    __shared__ double part[WARPS];
    size_t c = (size_t)a.c;
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *x = (const float *)a.x[0] + r * c;
        double least = INFINITY;
        int best = 0;
        for (int k = 0; k < a.groups; k++) {
            const double *of = (const double *)a.x[3] + (size_t)k * (c + 1);
            double sum = 0.0;
            for (size_t j = threadIdx.x; j < c; j += BLOCK)
                sum += of[j] * (double)x[j];
            sum = of[c] - 2.0 * lanes_join(sum, part, lanes_sum);
            if (sum < least) {
                least = sum;
                best = k;
            }
        }
        for (int j = (int)threadIdx.x; j < a.c; j += BLOCK)
            ((float *)a.y)[r * c + j] = gaussian_at(&a, x, best, j);
    }
}

OP_API int gaussian_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    launch_joined(fwd, grid_of(rows), a->stream, *a, rows);
    return launched("gaussian score");
}
#endif
