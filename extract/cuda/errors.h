/* From a library's status to a code, a line for people, and a kind that callers can act on. */
#ifndef OUTPOST_CUDA_ERRORS_H
#define OUTPOST_CUDA_ERRORS_H

#include "common/err.h"
#include "extract/cuda/calls.h"
#include "extract/plugin.h"

/* 0 stays 0.  Otherwise records "DOING: WORDS (SYMBOL, NUMBER)" and the kind of fault, and returns
 * ERR_ENV, or ERR_INTERNAL for arguments the library refused, which can only be our doing. */
int cuda_status(cuda_library library, int status, const char *doing);

/* The kind of this thread's last fault; cuda_fault_set() for faults found without a library. */
cuda_fault cuda_fault_now(void);
void cuda_fault_set(cuda_fault kind);
cuda_fault cuda_fault_of(cuda_library library, int status);
/* The words for a status: ours, or the library's where errors.def has none. */
const char *cuda_words(cuda_library library, int status);

/* What a launcher ends with (kernels/launch.h): the launch's error, 0 or ERR_*. */
int launched(const char *kernel);

#define CU(call, doing) TRY(cuda_status(LIB_CUDA, (call), (doing)))
#define BLAS(call, doing) TRY(cuda_status(LIB_CUBLAS, (call), (doing)))
#define DNN_OK(call, doing) TRY(cuda_status(LIB_CUDNN, (call), (doing)))

#endif
