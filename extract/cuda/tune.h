/* Choosing the engines of convolutions by time, on request.
 * OUTPOST_CUDNN_TUNE=FILE: what FILE says is taken; a convolution that it does not know is timed on the
 * device, its first TUNE_CANDIDATES engines one after the other, and the fastest is written to FILE.  So
 * the same FILE gives the same engines and bits in every process; without the variable, cuDNN's own first
 * choice is taken, which needs no file.  Lines: device, cuDNN version, convolution, candidate, engine. */
#ifndef OUTPOST_CUDA_TUNE_H
#define OUTPOST_CUDA_TUNE_H

#include "extract/cuda/steps.h"

enum { TUNE_CANDIDATES = 8 };

/* Whether tuning is asked for. */
int tune_wanted(void);
/* Chooses for every graph of the plan, whose arena and workspace are there.  ERR_ENV when FILE cannot be
 * read or written. */
int tune_graphs(device_plan *d, device_step *steps);

#endif
