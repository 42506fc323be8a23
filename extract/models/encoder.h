/* The transformer encoder that ViT, DeiT and T2T-ViT share, with timm's names:
 *   x <- x + proj(attention(qkv(norm1(x)))),  x <- x + fc2(GELU(fc1(norm2(x)))),  then `norm`. */
#ifndef OUTPOST_MODELS_ENCODER_H
#define OUTPOST_MODELS_ENCODER_H

#include "extract/graph.h"

typedef struct encoder {
    int width, depth, heads;
    int hidden;                             /* width of the MLP */
    float eps;                              /* of every layer norm */
    int qkv_bias;
    const char *blocks;                     /* taps: prefix of the layers' output, */
    const char *norm2;                      /* in each layer what the MLP reads, */
    const char *norm;                       /* all tokens at the end */
} encoder;

/* Tokens [width,t] -> token 0 after the last norm [width].  Behind the last attention the other tokens
 * matter to no class; they are built once more for the taps, and cost nothing when none is asked for. */
int encoder_build(graph *g, int x, const encoder *e);

#endif
