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

enum { MOCK_DEVICES = 8 };

typedef struct mock_settings {
    int devices, driver, major, minor;
    size_t memory;     /* bytes of each device */
    size_t memory_of[MOCK_DEVICES]; /* where it differs, else 0 */
    char model[MOCK_DEVICES][32];   /* behind the name of each device */
    int wrong_kernel;  /* its first result has the lowest bit flipped; -1: none */
    int fail_call;     /* enum mock_call, -1: none */
    unsigned fail_at;  /* its Nth call, from 1 */
    int fail_device;   /* counting only those while this device is current; -1: any */
    int fail_status;
    int lost;          /* the failure stays: every later call of the CUDA runtime on that device gives it */
} mock_settings;

/* One sound device; counters to zero.  Resources still held stay counted. */
void mock_reset(void);
extern mock_settings mock;
unsigned mock_count(int call);
/* Streams, handles and memory not given back. */
int mock_live(void);
/* Counts a call of a table beside `cuda`; the status it must fail with, or 0. */
int mock_enter(int call);
size_t mock_bytes(void); /* device memory held, of all devices */

/* Devices are told apart as on a real machine: each thread has a current one, streams, events and memory
 * belong to the one that was current when they were made, and work for a stream of another is refused
 * (400, invalid resource handle).
 * As a plugin (build/mock/outpost-cuda.so) it is set by the environment:
 *   OUTPOST_MOCK_DEVICES=N  OUTPOST_MOCK_MEMORY=BYTES[,BYTES...]  OUTPOST_MOCK_MODELS=A,B,...
 *   OUTPOST_MOCK_FAIL=CALL[@DEVICE]:NTH:STATUS[:lost]  OUTPOST_MOCK_WRONG=KERNEL */

#endif
