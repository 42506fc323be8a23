/* Softmax over the channels of each row: y = exp(x - m) / sum exp(x - m), m the row's maximum
 * (models.md section 1).  A row with NaN or +inf gives NaN throughout, and so does one of -inf only,
 * as in torch.
 * The CPU twin sums in double in order; the CUDA twin sums in float, each thread in order and then
 * over a tree of fixed shape.  Both repeat to the bit; together they agree to 1e-6 relative.
 *   x0, y  [n,h,w,c]; y may be x0
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

OP_MATH float softmax_term(float x, float max)
{
    return expf(x - max);
}
/* NaN wins, so that it reaches every element of its row. */
OP_MATH float row_max(float a, float b)
{
    return b > a || b != b ? b : a;
}
#ifndef __CUDACC__
int softmax_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const float *x = a->x[0] + r * c;
        float *y = a->y + r * c;
        float max = x[0];
        double sum = 0.0;
        for (size_t k = 1; k < c; k++)
            max = row_max(max, x[k]);
        for (size_t k = 0; k < c; k++) {
            y[k] = softmax_term(x[k], max);
            sum += (double)y[k];
        }
        for (size_t k = 0; k < c; k++)
            y[k] = (float)((double)y[k] / sum);
    }
    return 0;
}
#else
#include "kernels/launch.h"

/* All threads of the block get the result; `part` is free for use again after it. */
template <typename Join> static __device__ float block_join(float v, float *part, Join join)
{
    part[threadIdx.x] = v;
    for (unsigned half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] = join(part[threadIdx.x], part[threadIdx.x + half]);
    }
    __syncthreads();
    v = part[0];
    __syncthreads();
    return v;
}

struct join_max {
    __device__ float operator()(float a, float b) const { return row_max(a, b); }
};
struct join_sum {
    __device__ float operator()(float a, float b) const { return a + b; }
};

/* One block per row; a thread takes every BLOCK-th channel.  y may be x: a thread rereads only what
 * it wrote itself. */
static __global__ void fwd(const float *x, float *y, int c, size_t rows)
{
    __shared__ float part[BLOCK];
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *in = x + r * (size_t)c;
        float *out = y + r * (size_t)c;
        float max = -INFINITY, sum = 0.0f;
        for (int k = (int)threadIdx.x; k < c; k += BLOCK)
            max = row_max(max, in[k]);
        max = block_join(max, part, join_max());
        for (int k = (int)threadIdx.x; k < c; k += BLOCK) {
            float e = softmax_term(in[k], max);
            out[k] = e;
            sum += e;
        }
        sum = block_join(sum, part, join_sum());
        for (int k = (int)threadIdx.x; k < c; k += BLOCK)
            out[k] = out[k] / sum;
    }
}

OP_API int softmax_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    unsigned blocks = rows > BLOCKS_MAX ? (unsigned)BLOCKS_MAX : (unsigned)rows;
    fwd<<<blocks, BLOCK, 0, (cudaStream_t)a->stream>>>(a->x[0], a->y, a->c, rows);
    return launched("softmax forward");
}
#endif
