/* The nearest of many kept rows, on the CPU: what score/linalg_cpu.c puts into its table.
 * Kept rows lie in panels of NEAR_PANEL rows, their values side by side: value p of row j of a panel is
 * panel[p * NEAR_PANEL + j], so that products need no packing.  f32 products bound all distances of a row;
 * what they cannot tell apart near a rank that is asked for is measured again in f64 without the expansion,
 * which cancels, and ordered by distance and index.  So the results are exact whatever the vector unit is. */
#ifndef OUTPOST_NEIGHBOURS_H
#define OUTPOST_NEIGHBOURS_H

#include "score/stats/budget.h"

#include <stddef.h>
#include <stdint.h>

enum {
    NEAR_PANEL = 48, /* kept rows side by side */
    NEAR_CHUNK = 256 /* columns that are summed up in one go: bounds the rounding */
};

/* Written once (neighbours_impl.h), compiled for the base instruction set, AVX2 and AVX-512. */
typedef struct near_kernel {
    const char *name;
    /* dot [rows,NEAR_PANEL] (+)= x [rows,k] panel [k,NEAR_PANEL]; k <= NEAR_CHUNK, ld from row to row of x */
    void (*products)(const float *x, size_t ld, size_t rows, const float *panel, size_t k, int add,
                     float *dot);
    /* Appends v_j = square[j] - 2 dot[j] and first + j of those <= limit, in order, behind n; the new n.
     * value and index have room for NEAR_PANEL + 16 more. */
    size_t (*append)(const float *dot, const float *square, float limit, uint32_t first, float *value,
                     uint32_t *index, size_t n);
    /* The rank-th smallest, from 0. */
    float (*select)(const float *v, size_t n, size_t rank);
} near_kernel;

extern const near_kernel near_plain, near_avx2, near_avx512;
const near_kernel *near_best(void);
int near_usable(const near_kernel *kernel);

typedef struct linalg_bank near_bank; /* score/linalg_backend.h */

int near_bank_new(near_bank **out, budget *mem, size_t n, size_t k);
int near_bank_add(near_bank *b, const float *x, size_t n);
void near_bank_drop(near_bank **b);
/* As `neighbours` of score/linalg_backend.h; kernel NULL: every distance exactly, the plain twin. */
int near_search(const near_bank *b, const near_kernel *kernel, const size_t *rank, size_t ranks,
                const float *x, size_t n, double *distance, int64_t *index);

#endif
