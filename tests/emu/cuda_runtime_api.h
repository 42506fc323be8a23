/* Stands in for CUDA's header when the CUDA twins of kernels/ are compiled for the CPU (rule in the
 * Makefile): a launch becomes loops over blocks and threads.  Holds the kernels' index arithmetic, bounds,
 * barriers and shuffles to the CPU twins where there is no GPU; says nothing of the GPU's own arithmetic
 * or speed.
 *
 * Kernels whose threads meet run each thread of a block as a context of its own.  A thread that reaches a
 * barrier waits for all threads of its block, one that reaches a shuffle for those of its warp; threads
 * that can go on take turns, forwards or backwards and not all warps, as a coin falls, so that a missing
 * barrier changes the result.  Where none can go on, part of a block or warp has gone past a meeting: that aborts.
 * Grids are a few blocks, so that blocks come round again. */
#ifndef OUTPOST_EMU_CUDA_H
#define OUTPOST_EMU_CUDA_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static /* one block runs at a time */

typedef void *cudaStream_t;

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};

struct emu_index {
    unsigned x;
};
static emu_index blockIdx, threadIdx, blockDim, gridDim;

namespace emu {
enum { STACK = 1 << 16, THREADS = 256, LANES = 32 };
enum state { READY, AT_BARRIER, AT_SHUFFLE, ENDED };
static ucontext_t scheduler, fibers[THREADS];
static jmp_buf scheduler_at, fiber_at[THREADS];
static bool entered[THREADS];
static state states[THREADS];
static float given[2][THREADS]; /* two sets: a fast lane's next shuffle leaves this one alone */
static unsigned shuffles[THREADS];
static void (*body)(void *);
static void *body_args;
static bool joined;
static unsigned coin = 1;

/* A context is entered once by ucontext; after that jumps do, which cost no system call.  The address
 * sanitizer follows ucontext only. */
#ifdef __SANITIZE_ADDRESS__
static void leave(unsigned self)
{
    swapcontext(&fibers[self], &scheduler);
}

static void enter(unsigned t)
{
    swapcontext(&scheduler, &fibers[t]);
}
#else
static void leave(unsigned self)
{
    if (_setjmp(fiber_at[self]) == 0) _longjmp(scheduler_at, 1);
}

__attribute__((noinline)) static void enter(unsigned t)
{
    if (_setjmp(scheduler_at) != 0) return;
    if (entered[t]) _longjmp(fiber_at[t], 1);
    entered[t] = true;
    setcontext(&fibers[t]);
}
#endif

static void wait(state at)
{
    unsigned self = threadIdx.x;
    if (!joined) {
        fprintf(stderr, "emu: a kernel whose threads meet was launched by launch()\n");
        abort();
    }
    states[self] = at;
    leave(self);
    threadIdx.x = self;
}

static void fiber()
{
    unsigned self = threadIdx.x;
    body(body_args);
    states[self] = ENDED;
    leave(self);
}

/* Frees threads first..end that are all at `meeting`, ended ones aside. */
static bool release(unsigned first, unsigned end, state meeting)
{
    bool any = false;
    for (unsigned t = first; t < end; t++) {
        if (states[t] != meeting && states[t] != ENDED) return false;
        any |= states[t] == meeting;
    }
    for (unsigned t = first; any && t < end; t++)
        if (states[t] == meeting) states[t] = READY;
    return any;
}

static bool toss()
{
    coin = coin * 1103515245u + 12345u;
    return coin >> 16 & 1;
}

/* One turn of the threads that can go on, of some warps; false when there was none. */
static bool run_ready()
{
    bool any = false, back = toss();
    for (unsigned i = 0; i < blockDim.x; i += LANES) {
        unsigned first = back ? blockDim.x - LANES - i : i;
        bool now = toss();
        for (unsigned k = 0; k < LANES; k++) {
            unsigned t = back ? first + LANES - 1 - k : first + k;
            if (states[t] != READY) continue;
            any = true;
            if (!now) break;
            threadIdx.x = t;
            enter(t);
        }
    }
    return any;
}

static void run_joined(char *stacks)
{
    bool ended = false, any;
    for (unsigned t = 0; t < blockDim.x; t++) {
        getcontext(&fibers[t]);
        fibers[t].uc_stack.ss_sp = stacks + (size_t)t * STACK;
        fibers[t].uc_stack.ss_size = STACK;
        makecontext(&fibers[t], fiber, 0);
        states[t] = READY;
        entered[t] = false;
        shuffles[t] = 0;
    }
    while (!ended) {
        any = run_ready();
        ended = true;
        for (unsigned t = 0; t < blockDim.x; t++)
            ended &= states[t] == ENDED;
        for (unsigned t = 0; t < blockDim.x; t += LANES)
            any |= release(t, t + LANES, AT_SHUFFLE);
        any |= release(0, blockDim.x, AT_BARRIER);
        if (!any && !ended) {
            fprintf(stderr, "emu: threads of a block wait for each other for ever\n");
            abort();
        }
    }
}

template <typename Call> static void call(void *c)
{
    (*(Call *)c)();
}

template <typename Call> static void blocks(bool meet, unsigned grid, unsigned block, Call &bound)
{
    char *stacks = meet ? (char *)malloc((size_t)block * STACK) : nullptr;
    if ((meet && stacks == nullptr) || grid == 0 || block > THREADS || block % LANES != 0) abort();
    gridDim.x = grid;
    blockDim.x = block;
    joined = meet;
    body = call<Call>;
    body_args = &bound;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
        if (meet) {
            run_joined(stacks);
            continue;
        }
        for (threadIdx.x = 0; threadIdx.x < block; threadIdx.x++)
            bound();
    }
    free(stacks);
}
} // namespace emu

static inline void __syncthreads()
{
    emu::wait(emu::AT_BARRIER);
}

static inline float __shfl_xor_sync(unsigned, float v, int lanes)
{
    unsigned self = threadIdx.x, set = emu::shuffles[self]++ & 1;
    emu::given[set][self] = v;
    emu::wait(emu::AT_SHUFFLE);
    return emu::given[set][self ^ (unsigned)lanes];
}

static inline double __shfl_xor_sync(unsigned mask, double v, int lanes)
{
    float half[2];
    memcpy(half, &v, sizeof v);
    half[0] = __shfl_xor_sync(mask, half[0], lanes);
    half[1] = __shfl_xor_sync(mask, half[1], lanes);
    memcpy(&v, half, sizeof v);
    return v;
}

static inline int __shfl_xor_sync(unsigned mask, int v, int lanes)
{
    float f;
    memcpy(&f, &v, sizeof f);
    f = __shfl_xor_sync(mask, f, lanes);
    memcpy(&v, &f, sizeof v);
    return v;
}

/* What kernels/launch.h has for a GPU. */
enum { BLOCKS_MAX = 5 };

template <typename... P, typename... A>
static inline void launch(void (*kernel)(P...), unsigned grid, void *, A... args)
{
    auto bound = [&] { kernel(args...); };
    emu::blocks(false, grid, 256, bound);
}

template <typename... P, typename... A>
static inline void launch_joined(void (*kernel)(P...), unsigned grid, void *, A... args)
{
    auto bound = [&] { kernel(args...); };
    emu::blocks(true, grid, 256, bound);
}

#endif
