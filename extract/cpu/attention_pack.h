/* Rows of tokens as the panels of weights that tile kernels read (conv.h): vectors of `lanes`
 * columns in panels of two, then one; a step is a word of 4 bytes, one f32 or two bf16 of the summed
 * index. */
#ifndef OUTPOST_ATTENTION_PACK_H
#define OUTPOST_ATTENTION_PACK_H

#include "extract/cpu/conv.h"

typedef struct pack_shape {
    const conv_kernel *kernel;
    size_t n, d; /* n tokens of d elements */
} pack_shape;

/* Vectors of the next panel where `left` remain. */
static inline size_t panel_vectors(size_t left)
{
    return left >= 2 ? 2 : 1;
}

/* Token i lies at x + at[i].
 * Tokens are the columns, elements are summed.  Columns beyond the last token repeat it. */
void pack_keys(const pack_shape *s, char *to, const char *x, const size_t *at);
/* Elements are the columns, tokens are summed; what is missing is 0. */
void pack_values(const pack_shape *s, char *to, const char *x, const size_t *at);
/* Tokens [first, end) one after the other, each a whole number of words. */
void pack_rows(const pack_shape *s, char *to, const char *x, const size_t *at, size_t count);

#endif
