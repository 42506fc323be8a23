/* Fused attention through cuDNN's graph API: y = softmax(scale q k^T + bias) v for each sequence and
 * head in one kernel, scores in f32 and never in memory (Dao et al., arXiv:2205.14135).  fp16 and bf16
 * only: its products run on tensor cores, exponentials are rounded to the maps' type before they
 * multiply v.  q, k, v and y are addressed as in attention.h.
 *
 * cuDNN knows the pattern by its operations, down to the statistics that nobody reads; all its engines
 * for it are compiled at run time (0.2 s each, needs NVRTC).  Engines of cuDNN 9.19 want compute
 * capability 8.0 and heads that are multiples of 8 wide. */
#ifndef OUTPOST_CUDA_SDPA_H
#define OUTPOST_CUDA_SDPA_H

#include "extract/cuda/attention.h"
#include "extract/cuda/dnn.h"

typedef struct sdpa_key { /* compared as bytes: cleared before it is filled */
    int sequences, heads, t, d;
    attention_layout x, y;
    int bias; /* whether f32 [heads,t,sdpa_bias_row()] is added to the scores of every sequence */
    precision precision;
} sdpa_key;

typedef struct sdpa_graph {
    sdpa_key key;
    dnn_list list; /* what the plan refers to */
    dnn_plan plan;
    int usable; /* cuDNN has a plan; otherwise the attention is products and a softmax kernel */
} sdpa_graph;

/* Elements from one row of a bias to the next: 32 bytes, for wide loads. */
int sdpa_bias_row(int t);
/* Whether it is asked for and worth asking cuDNN about: 16-bit maps whose heads begin at multiples of 16
 * bytes, and no OUTPOST_CUDA_SDPA=0. */
int sdpa_wanted(const sdpa_key *key);
/* No plan is no error: *out is made and not usable then. */
int sdpa_graph_new(sdpa_graph **out, const dnn_target *t, const sdpa_key *key, size_t workspace);
void sdpa_graph_free(sdpa_graph **g);
/* One line for messages. */
void sdpa_key_text(const sdpa_key *key, char *text, size_t room);

typedef struct sdpa_operands {
    const void *q, *k, *v;
    const float *bias; /* NULL: the key has none */
    float scale;
    void *y, *workspace;
} sdpa_operands;

/* Queues it on the handle's stream. */
int sdpa_graph_run(const sdpa_graph *g, void *handle, const sdpa_operands *o);

#endif
