/* What extract/backend_several.c needs of the backend of one GPU beside its table. */
#ifndef OUTPOST_BACKEND_CUDA_H
#define OUTPOST_BACKEND_CUDA_H

#include "extract/backend.h"

/* As backend_cuda.open on GPU `device`, but the weights of p stay for the next one.  `part`: images of the
 * device's own network, through which a batch goes in pieces; 0: the whole batch or, where memory is
 * short, half of it. */
int cuda_net_open(void **net, const plan *p, const backend_options *o, int device, size_t part);
size_t cuda_net_batch(const void *net); /* images of the device's own network */

#endif
