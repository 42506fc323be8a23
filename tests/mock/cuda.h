/* A CUDA device in host memory, for tests: the table of extract/cuda/calls.h with every call made to
 * fail on request.  Kernels are the CPU twins.  Work is queued and runs at stream_sync, so that code
 * which forgets to wait, or lets go of a buffer too early, is seen. */
#ifndef OUTPOST_MOCK_CUDA_H
#define OUTPOST_MOCK_CUDA_H

#include "extract/cuda/calls.h"
#include "score/cuda/calls_linalg.h"

enum mock_call {
#define CALL(library, name, parameters, arguments, real) MOCK_##name,
#include "extract/cuda/calls.def"
#include "score/cuda/calls_linalg.def"
#undef CALL
    MOCK_CALLS
};

extern const char *const mock_names[MOCK_CALLS];
extern const cuda_library mock_libraries[MOCK_CALLS];

typedef struct mock_settings {
    int devices, driver, major, minor;
    size_t memory;     /* bytes of the device */
    int wrong_kernel;  /* its first result has the lowest bit flipped; -1: none */
    int fail_call;     /* enum mock_call, -1: none */
    unsigned fail_at;  /* its Nth call, from 1 */
    int fail_status;
    int lost;          /* the failure stays: every later call of the CUDA runtime gives it too */
} mock_settings;

/* One sound device; counters to zero.  Resources still held stay counted. */
void mock_reset(void);
extern mock_settings mock;
unsigned mock_count(int call);
/* Streams, handles and memory not given back. */
int mock_live(void);
/* Counts a call of a table beside `cuda`; the status it must fail with, or 0. */
int mock_enter(int call);
size_t mock_bytes(void); /* device memory held */

/* As a plugin (build/mock/outpost-cuda.so) it is set by the environment:
 *   OUTPOST_MOCK_DEVICES=N  OUTPOST_MOCK_MEMORY=BYTES  OUTPOST_MOCK_FAIL=CALL:NTH:STATUS[:lost]
 *   OUTPOST_MOCK_WRONG=KERNEL */

#endif
