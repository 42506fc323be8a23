/* Softmax attention: y = softmax(scale q k^T + bias) v for each head, in three steps: a batch of
 * products, a softmax kernel, a batch of products.
 * Row i of head h of sequence s of q lies at q + s sequence + h head + i row, in elements, and so do k, v
 * and y: the network's own [tokens, q k v] as well as heads taken apart.  Scores are f32, what multiplies
 * v has the type of the maps.  Where the scores of all sequences do not fit, they are taken in parts: some sequences at a
 * time, or some queries of one. */
#ifndef OUTPOST_CUDA_ATTENTION_H
#define OUTPOST_CUDA_ATTENTION_H

#include "extract/cuda/device.h"

typedef struct attention_layout { /* in elements */
    size_t sequence, head;
    int row;
} attention_layout;

typedef struct attention_shape {
    int sequences, t, heads, d;
    int together;   /* sequences of an image, which no part divides unless it has one only */
    size_t q, k, v; /* first element of each in qkv */
    attention_layout x, y;
    float scale;
    element type;
    int tf32;
    size_t limit; /* bytes of scores at a time */
} attention_shape;

typedef struct attention attention;

/* What is done at a time.  The caller queues the softmax of its rows, with what is added to the scores
 * first: scores [sequences,heads,queries,t], rows attention_row() apart, sequences from `first`, queries
 * from `query`. */
typedef struct attention_part {
    int first, sequences; /* of this part */
    int query, queries;
    void *scores, *weights; /* f32, and the maps' type; one memory where these are the same */
} attention_part;
typedef int attention_softmax(void *context, const attention_part *p);

int attention_new(attention **out, const attention_shape *s);
int attention_row(
    const attention *a); /* elements from one row of scores or weights to the next: t and some */
size_t attention_scratch(const attention *a); /* bytes, of scores and weights */
/* Fixes the addresses: uploads the lists of operands. */
int attention_bind(attention *a, cuda_backend *be, const void *qkv, void *y, void *scratch);
int attention_run(const attention *a, cuda_backend *be, attention_softmax *softmax, void *context);
void attention_free(attention **a);

#endif
