/* Convolution in groups, 1 < groups < channels: a dense convolution on each group's slice of the
 * channels. */
#ifndef OUTPOST_GROUPED_H
#define OUTPOST_GROUPED_H

#include "extract/cpu/conv.h"

typedef struct grouped grouped;

/* As conv_new. */
int grouped_new(grouped **out, const plan_step *step, const view *x, const view *y, const grouped *like);
void grouped_free(grouped **g);
/* As conv_run. */
void grouped_run(const grouped *g, const view *x, const view *y, const view *residual, int n);

#endif
