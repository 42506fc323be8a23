/* What the two twins of a kernel share: the argument block and the index arithmetic.
 * Read by C11 (CPU twin) and by nvcc's C++17 (CUDA twin).
 *
 * Maps are NHWC: element (n,h,w,c) of [N,H,W,C] lies at ((n*H + h)*W + w)*C + c; "rows" are the N*H*W
 * groups of C neighbours.  Tokens are maps, too.  Maps are float32, float16 or bfloat16; what is written
 * "f32" at the head of a kernel is float32 whatever the maps are.  Arithmetic is float32 or wider.
 * A twin owns nothing, allocates nothing and checks nothing about its arguments: kernel_problem() in
 * kernels/table.h has done that. */
#ifndef OUTPOST_OP_H
#define OUTPOST_OP_H

#include "kernels/curves.h"
#include "kernels/types.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum kernel_flags {
    KF_CEIL = 2,      /* pools: output size rounds up */
    KF_COUNT_PAD = 4, /* avgpool: padding counts in the divisor (torch's count_include_pad) */
    KF_NCHW = 8,      /* normalise, export: y is [N,C,H,W] */
    KF_ZERO_PAD = 16, /* maxpool: padding is zeros that take part */
    KF_AFTER = 32     /* slope_back: the residual is added last */
};

/* gap: numbered as extract/plan.h's `reduction`; 0 is the mean as well. */
enum kernel_reduce { KR_DEFAULT, KR_MEAN, KR_SUM, KR_MAX, KR_COUNT };

/* Numbered as extract/graph.h's cotangent_kind, perturb_kind and deflate_kind. */
enum kernel_cotangent { KC_CE, KC_UNIFORM, KC_LOGSUMEXP, KC_MAX, KC_LOGIT, KC_COUNT };
enum kernel_perturb { KP_SIGN, KP_SIGN0, KP_LARGEST, KP_SMALLEST, KP_FGSM, KP_COUNT };
enum kernel_deflate { KD_EXACT, KD_POWER, KD_COUNT };

typedef struct op_args {
    const void *x[4];        /* operands, listed at the head of each kernel */
    const unsigned char *u8; /* normalise: the decoded images, [N,H,W,C] */
    void *y;
    int x_type, y_type;      /* enum kernel_type of x[0] and of y (0: float32) */
    int n, c, h, w;          /* the first operand; of a slice copy: what is copied */
    int oh, ow;              /* rows and columns of y, where they differ from x's */
    int kernel, stride, pad; /* pools, dwconv, unfold: square windows */
    int x_c, x_at;           /* copy: channels of the tensor x lies in; the first one read */
    int y_c, y_at;           /* copy, shortcut_a: channels of y; the first one written */
    int groups;              /* groupnorm: groups; attention: heads; performer: random features; gaussian: classes;
                                gram: powers; deflate: iterations */
    int window, shift;       /* attention: side of a window, 0: one that holds all; cyclic shift */
    float scale;             /* softmax: factor of x before anything else, not 0; cotangent: temperature;
                                perturb: amount */
    float eps;               /* norms */
    int act;                 /* enum kernel_act, last of all */
    int reduce;              /* gap: enum kernel_reduce; cotangent, perturb, deflate: which kind */
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

/* i = quotient * by + remainder; the short way where 32 bits do, for which GPUs have no fast other. */
OP_MATH size_t op_divide(size_t i, int by, int *remainder)
{
    size_t q = i >> 32 ? i / (size_t)by : (size_t)((uint32_t)i / (uint32_t)by);
    *remainder = (int)(i - q * (size_t)by);
    return q;
}

/* Elements from one row to the next, where rows may be wider than their c channels. */
OP_MATH int op_x_stride(const op_args *a)
{
    return a->x_c > 0 ? a->x_c : a->c;
}

OP_MATH int op_y_stride(const op_args *a)
{
    return a->y_c > 0 ? a->y_c : a->c;
}

/* Operands that are float32 whatever the maps are. */
OP_MATH const float *op_f32(const op_args *a, int i)
{
    return (const float *)a->x[i];
}

OP_MATH float op_x(const op_args *a, size_t at)
{
    return type_get(a->x[0], a->x_type, at);
}

OP_MATH void op_y(const op_args *a, size_t at, float v)
{
    type_put(a->y, a->y_type, at, v);
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
