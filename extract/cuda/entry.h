/* What every entry of the plugin does: the message goes to the program, whose copy of common/err is
 * another one than the plugin's. */
#ifndef OUTPOST_CUDA_ENTRY_H
#define OUTPOST_CUDA_ENTRY_H

#include "common/err.h"
#include "extract/cuda/errors.h"

void entry_set_host(const cuda_host *program);
/* Hands the message of a failure over; returns rc. */
int entry_leave(int rc);

/* A message left by a call that failed on the way out, and was not reported, is not this call's. */
#define ENTRY(call)                                                                                \
    do {                                                                                           \
        err_clear();                                                                               \
        cuda_fault_set(FAULT_NONE);                                                                \
        return entry_leave(call);                                                                  \
    } while (0)

#endif
