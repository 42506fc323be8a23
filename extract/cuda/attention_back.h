/* Gradient of softmax attention at q, k and v, by batches of products; probabilities are computed again:
 *   s = scale q k^T + bias, p = softmax(s), dv = p^T g, ds = p (g v^T - row sums of p g v^T),
 *   dq = scale ds k, dk = scale ds^T q
 * Scores and g v^T are f32, in one memory; p and ds have the type of the maps, in another.  As many whole images at a
 * time as fit the limit, one at least. */
#ifndef OUTPOST_CUDA_ATTENTION_BACK_H
#define OUTPOST_CUDA_ATTENTION_BACK_H

#include "extract/cuda/attention.h"

typedef struct attention_back attention_back;

typedef struct attention_back_steps { /* what the caller queues on a part's rows, whose queries are all */
    attention_softmax *softmax;       /* scores to weights */
    attention_softmax *back;          /* scores, which hold g v^T, and weights to weights */
    void *context;
} attention_back_steps;

/* s: layout x is that of q, k, v and of their gradients, y that of g. */
int attention_back_new(attention_back **out, const attention_shape *s);
int attention_back_row(const attention_back *a); /* elements from one row of scores or weights to the next */
size_t attention_back_scratch(const attention_back *a);
/* Fixes the addresses: uploads the lists of operands. */
int attention_back_bind(attention_back *a, cuda_backend *be, const void *qkv, const void *g, void *dqkv,
                        void *scratch);
int attention_back_run(const attention_back *a, cuda_backend *be, const attention_back_steps *steps);
void attention_back_free(attention_back **a);

#endif
