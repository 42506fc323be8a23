/* What the performer and its gradient share; nobody else includes it. */
#ifndef OUTPOST_PERFORMER_PARTS_H
#define OUTPOST_PERFORMER_PARTS_H

#include "extract/cpu/conv.h"
#include "extract/cpu/performer.h"

enum { PERFORMER_BLOCK = 224 /* tokens worked on at a time */ };

struct performer {
    const conv_kernel *kernel; /* f32 */
    size_t m, d, t;
    size_t m_vectors, d_vectors;
    float *w;                  /* random features as panels [d][m] */
    float *zeros;              /* of the wider of the two */
    size_t *from, *to;         /* [t] bytes of each token in an image of x and of y */
};

/* sums [rows, vectors] = x [rows, deep] w + what was there (not if `first`); x rows x_step floats apart. */
void performer_product(const performer *p, const float *x, size_t x_step, size_t rows, size_t deep, const float *w,
                       size_t vectors, float *sums, int first);
/* Eight sums side by side, then one. */
float performer_sum(const float *a, const float *b, size_t n);
/* phi [n, m_vectors] of z [n, d] */
void performer_phi(const performer *p, const float *z, size_t n, float *phi);

#endif
