/* What the two twins of a kernel share: the argument block, the qualifiers, the index arithmetic.
 * Read by C11 (CPU twin) and by nvcc's C++17 (CUDA twin).
 *
 * Tensors are float32, NHWC: element (n,h,w,c) of [N,H,W,C] lies at ((n*H + h)*W + w)*C + c.
 * "Rows" are the N*H*W groups of C neighbours.  A twin owns nothing, allocates nothing and checks
 * nothing about its arguments: kernel_problem() in kernels/table.h has done that. */
#ifndef OUTPOST_OP_H
#define OUTPOST_OP_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define OP_MATH static __host__ __device__ __forceinline__
#define OP_API extern "C"
#else
#define OP_MATH static inline
#define OP_API
#endif

enum kernel_flags {
    KF_RELU = 1,      /* scale_shift, add: max(.,0) of the result, NaN stays NaN */
    KF_CEIL = 2,      /* pools: output size rounds up */
    KF_COUNT_PAD = 4, /* avgpool: padding counts in the divisor (torch's count_include_pad) */
    KF_NCHW = 8       /* normalise: y is [N,C,H,W] */
};

typedef struct op_args {
    const float *x[4];       /* operands, listed at the head of each kernel */
    const unsigned char *u8; /* normalise: the decoded images, [N,H,W,C] */
    float *y;
    int n, c, h, w;          /* the first operand; of a slice copy: what is copied */
    int oh, ow;              /* rows and columns of y, where they differ from x's */
    int kernel, stride, pad; /* pools: square windows */
    int x_c, x_at;           /* copy: channels of the tensor x lies in; the first one read */
    int y_c, y_at;           /* copy, shortcut_a: channels of y; the first one written */
    unsigned flags;          /* enum kernel_flags */
    void *stream;            /* cudaStream_t of the CUDA twin; the CPU twin ignores it */
} op_args;

OP_MATH size_t op_rows(const op_args *a)
{
    return (size_t)a->n * (size_t)a->h * (size_t)a->w;
}

OP_MATH size_t op_count(const op_args *a)
{
    return op_rows(a) * (size_t)a->c;
}

/* torch's `x < 0 ? 0 : x`: NaN stays NaN and -0 stays -0. */
OP_MATH float op_relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

/* Output length of a pool: floor((in + 2 pad - k) / s) + 1; with ceil rounded up, less one when the
 * last window would start at or beyond in + pad (models.md section 1). */
OP_MATH int op_pooled(int in, int kernel, int stride, int pad, int ceil)
{
    int room = in + 2 * pad - kernel;
    int out = (ceil ? (room + stride - 1) / stride : room / stride) + 1;
    return ceil && (out - 1) * stride >= in + pad ? out - 1 : out;
}

/* Where pool output `at` looks along one axis: [*from,*to) of the input, clipped to it; returns how
 * many positions it covers when padding counts. */
OP_MATH int op_window(int at, int in, int kernel, int stride, int pad, int *from, int *to)
{
    int first = at * stride - pad;
    int last = first + kernel;
    int padded = last < in + pad ? last : in + pad;
    *from = first > 0 ? first : 0;
    *to = last < in ? last : in;
    return padded - first;
}

#endif
