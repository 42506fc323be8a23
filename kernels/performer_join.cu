/* Performer, step 2: the sums of the chunks, added in order: y[n,k] = sum over i of x[n,i,k].
 *   x0 f32 [n,h,c], h chunks of c = m (d + 1) sums (w is 1)      y f32 [n,c]
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float sum_of_chunks(const float *x, int chunks, int c)
{
    float sum = 0.0f;
    for (int i = 0; i < chunks; i++)
        sum += x[(size_t)i * (size_t)c];
    return sum;
}
#ifndef __CUDACC__
int performer_join_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, count = (size_t)a->n * c;
    float *y = a->y;
    for (size_t i = 0; i < count; i++)
        y[i] = sum_of_chunks(op_f32(a, 0) + i / c * (size_t)a->h * c + i % c, a->h, a->c);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const float *x, float *y, int chunks, divisor c, size_t count)
{
    GRID_STRIDE(i, count)
    {
        int k;
        size_t n = divide(i, c, &k);
        y[i] = sum_of_chunks(x + n * chunks * c.by + k, chunks, (int)c.by);
    }
}

OP_API int performer_join_fwd_cuda(const op_args *a)
{
    size_t count = (size_t)a->n * (size_t)a->c;
    launch(fwd, blocks_for(count), a->stream, op_f32(a, 0), (float *)a->y, a->h, divisor_of(a->c),
           count);
    return launched("performer join");
}
#endif
