/* What attention and its gradient share; nobody else includes it. */
#ifndef OUTPOST_ATTENTION_PARTS_H
#define OUTPOST_ATTENTION_PARTS_H

#include "extract/cpu/attention.h"
#include "extract/cpu/conv.h"

enum {
    SCORE_BYTES = 96 * 1024,  /* of the scores that exist at a time, if a tile needs no more */
    MASKS = 4                 /* of a window: in the last column, in the last row */
};

struct attention {
    const conv_kernel *kernel;
    size_t heads, d, n, windows; /* d: width of a head, n: tokens of a window */
    size_t element;              /* bytes */
    size_t steps;                /* of a query: d in units */
    size_t key_vectors, value_vectors;
    size_t tiles, block;         /* of query rows: of a window, and of one block */
    softmax_args soft;           /* soft.step: floats from score row to score row */
    size_t *from, *to;           /* [windows, n] bytes of each token in an image of x and of y */
    unsigned char *kind;         /* [windows] its mask */
    float *bias;                 /* [heads, n, step] times log2 e, or NULL */
    float *mask[MASKS];          /* [n, step] times log2 e, or NULL */
    float *start;                /* [key_vectors] what score sums start from: -inf beyond the keys */
    float *zeros;                /* [value_vectors] */
    conv_segment query, chance;  /* what the tiles sum over */
};

/* First row of a tile; tiles are of nearly equal height. */
size_t attention_tile_start(const attention *a, size_t tile);
/* s [rows, soft.step] = start + x [rows, deep] w for the tiles first ... end; rows of x one after the other, w panels
 * of a->key_vectors. */
void attention_scores(const attention *a, const char *x, const char *w, const float *start, float *s, size_t first,
                      size_t end);

#endif
