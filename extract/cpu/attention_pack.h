/* Rows of tokens as the panels of weights that tile kernels read (conv.h): vectors of `lanes`
 * columns in panels of two, then one; a step of 4 bytes holds one f32 or two bf16 of the summed index. */
#ifndef OUTPOST_ATTENTION_PACK_H
#define OUTPOST_ATTENTION_PACK_H

#include <stddef.h>
#include <string.h>

typedef struct pack_shape {
    size_t lanes, n, d; /* n tokens of d elements */
    size_t element;     /* bytes: 4, or 2 */
} pack_shape;

/* Token i lies at x + at[i].  Tokens are the columns, elements are summed; what is missing is 0. */
void pack_keys(const pack_shape *s, char *to, const char *x, const size_t *at);
/* Elements are the columns, tokens are summed. */
void pack_values(const pack_shape *s, char *to, const char *x, const size_t *at);
/* One row, zeros up to `room` bytes. */
static inline void pack_row(char *to, const char *x, size_t bytes, size_t room)
{
    memcpy(to, x, bytes);
    if (room > bytes) memset(to + bytes, 0, room - bytes);
}

#endif
