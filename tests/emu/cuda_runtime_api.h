/* Stands in for CUDA's header when the CUDA twins of kernels/ are compiled for the CPU (rule in the
 * Makefile): a launch `fwd<<<grid, block, 0, stream>>>(...)`, rewritten to emu::launch, becomes loops
 * over blocks and threads.  Holds the kernels' index arithmetic, bounds and barriers to the CPU twins
 * where there is no GPU; says nothing of the GPU's own arithmetic or speed.
 *
 * Kernels with barriers run each thread of a block as a context of its own; barrier by barrier the
 * threads take their turns in the opposite order, so that a missing barrier changes the result. */
#ifndef OUTPOST_EMU_CUDA_H
#define OUTPOST_EMU_CUDA_H

#include <stdlib.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static /* one block runs at a time */

typedef void *cudaStream_t;

struct emu_index {
    unsigned x;
};
static emu_index blockIdx, threadIdx, blockDim, gridDim;

#ifdef EMU_BARRIERS
namespace emu {
enum { STACK = 1 << 15, THREADS = 1024 };
static ucontext_t scheduler, fibers[THREADS];
static bool ended[THREADS];
static void (*body)(void *);
static void *body_args;

static void fiber()
{
    unsigned self = threadIdx.x;
    body(body_args);
    ended[self] = true;
    swapcontext(&fibers[self], &scheduler);
}
} // namespace emu

static void __syncthreads()
{
    unsigned self = threadIdx.x;
    swapcontext(&emu::fibers[self], &emu::scheduler);
    threadIdx.x = self;
}

namespace emu {
static void run_block(void (*f)(void *), void *args, char *stacks)
{
    unsigned left = blockDim.x;
    body = f;
    body_args = args;
    for (unsigned t = 0; t < blockDim.x; t++) {
        getcontext(&fibers[t]);
        fibers[t].uc_stack.ss_sp = stacks + (size_t)t * STACK;
        fibers[t].uc_stack.ss_size = STACK;
        makecontext(&fibers[t], fiber, 0);
        ended[t] = false;
    }
    for (bool back = false; left > 0; back = !back)
        for (unsigned i = 0; i < blockDim.x; i++) {
            unsigned t = back ? blockDim.x - 1 - i : i;
            if (ended[t]) continue;
            threadIdx.x = t;
            swapcontext(&scheduler, &fibers[t]);
            left -= ended[t];
        }
}
} // namespace emu
#else
namespace emu {
enum { STACK = 1, THREADS = 1024 };
static void run_block(void (*f)(void *), void *args, char *)
{
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++)
        f(args);
}
} // namespace emu
#endif

namespace emu {
template <typename Call> static void call(void *c)
{
    (*(Call *)c)();
}

template <typename Kernel, typename... Args>
static void launch(unsigned grid, unsigned block, cudaStream_t, Kernel kernel, Args... args)
{
    auto bound = [&] { kernel(args...); };
    char *stacks = (char *)malloc((size_t)block * STACK);
    if (stacks == nullptr || grid == 0 || block > THREADS) abort();
    gridDim.x = grid;
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)
        run_block(call<decltype(bound)>, &bound, stacks);
    free(stacks);
}
} // namespace emu

#endif
