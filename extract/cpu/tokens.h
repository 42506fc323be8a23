/* What moves pixels and tokens about, on NHWC views, f32 or bf16; n images, y never overlaps x. */
#ifndef OUTPOST_TOKENS_H
#define OUTPOST_TOKENS_H

#include "extract/cpu/view.h"

/* y[0] = table[0] (class token and its position), y[1 + i] = x[i] + table[1 + i]; table [t,c]. */
void token_embed(const view *x, const float *table, const view *y, int n);
/* Token `index`, counted along rows -> vector; element types may differ. */
void token_take(const view *x, int index, const view *y, int n);
/* Windows of kernel x kernel pixels as channels (c kernel + ky) kernel + kx; zeros outside. */
void token_unfold(const view *x, int kernel, int stride, int pad, const view *y, int n);
/* Four pixels as channels: (0,0), (1,0), (0,1), (1,1) by (row, column); zeros beyond an odd side. */
void token_merge(const view *x, const view *y, int n);

#endif
