/* Products of cuBLAS and cuBLASLt as the table of calls.def has them; of calls.c alone. */
#ifndef OUTPOST_CUDA_CALLS_BLAS_H
#define OUTPOST_CUDA_CALLS_BLAS_H

#include "extract/cuda/calls.h"

int adapter_batch(void *handle, const blas_batch *b);
int adapter_lt_plan(void **plan, void *handle, const lt_shape *s, size_t workspace);
int adapter_lt_plan_free(void *plan);
int adapter_lt_run(void *handle, void *plan, const lt_operands *o, void *stream);

#endif
