/* What is done to one row of logits: softmax and the sums that come with it.
 * Written once (rowmath_impl.h) and compiled for the base instruction set, AVX2 and AVX-512; the
 * three give the same bytes, because every sum has sixteen fixed lanes and nothing is fused. */
#ifndef OUTPOST_ROWMATH_H
#define OUTPOST_ROWMATH_H

#include <stddef.h>

typedef struct row_sums {
    float max;     /* largest logit */
    size_t argmax; /* first of them */
    double lse;    /* log sum exp z */
    double plogp;  /* sum p log p, 0 log 0 = 0; in [-log c, 0] */
} row_sums;

typedef struct rowmath {
    const char *name;
    /* z [c] -> p [c] = softmax(z), f32, max subtracted, denormals kept; p may be NULL or z.
     * Finite z only.  Relative error of p below 3e-7 while p is normal. */
    void (*softmax)(const float *z, size_t c, float *p, row_sums *s);
    /* y = exp(x), relative error below 1.5e-7 for x in [-87, 88], 0 below -104. */
    void (*exp)(const float *x, size_t n, float *y);
    /* y += a x */
    void (*axpy)(size_t n, float a, const float *x, float *y);
    /* What the upper clip takes, sum (h - min(h, clip)), and what it leaves, sum |min(h, clip)|. */
    void (*clip_sums)(const float *h, size_t n, float clip, double *lost, double *kept);
    /* sum exp(scale (z - shift)), f64 throughout, relative error below 1e-14; terms below exp(-708)
     * count 0, the exponents must stay below 709. */
    double (*sum_exp)(const float *z, size_t n, double shift, double scale);
    /* out[k] = sum_j w[k stride + j] h[j] over w[k stride + j] > least[j], for four rows k of w. */
    void (*dots_above)(size_t n, const float *w, size_t stride, const float *h, const float *least,
                       float out[4]);
} rowmath;

extern const rowmath rowmath_plain, rowmath_avx2, rowmath_avx512;
/* The best one for this processor. */
const rowmath *rowmath_best(void);
/* Whether this processor can run it. */
int rowmath_usable(const rowmath *m);

#endif
