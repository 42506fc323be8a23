/* How CUDA twins are launched and how they reach memory.  Read by nvcc only (and by the emulation of
 * tests/emu, which brings its own cuda_runtime_api.h).
 *
 * A kernel template takes the type T of its maps and the number W of neighbouring channels that one
 * thread handles: W = wide(T), 16 bytes, where channels and addresses allow, else 1. */
#ifndef OUTPOST_LAUNCH_H
#define OUTPOST_LAUNCH_H

#include "kernels/op.h"

#include <cuda_runtime_api.h>

enum { BLOCK = 256, WARP = 32, WARPS = BLOCK / WARP };
#ifndef OUTPOST_EMU_CUDA_H
enum { BLOCKS_MAX = 1 << 16 };
#endif

/* Threads stride over the work, so any grid is right; 65536 blocks fill every GPU there is. */
static inline unsigned grid_of(size_t blocks)
{
    return blocks == 0 ? 1u : blocks > BLOCKS_MAX ? (unsigned)BLOCKS_MAX : (unsigned)blocks;
}

static inline unsigned blocks_for(size_t work)
{
    return grid_of((work + BLOCK - 1) / BLOCK);
}

#define GRID_STRIDE(i, count)                                                                      \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (count);                    \
         i += (size_t)gridDim.x * blockDim.x)

/* Launches of BLOCK threads: launch(fwd<T, W>, blocks, a->stream, arguments...); launch_joined for
 * kernels whose threads meet (barriers, shuffles).  One and the same on a GPU. */
#ifndef OUTPOST_EMU_CUDA_H
template <typename... P, typename... A>
static inline void launch(void (*kernel)(P...), unsigned blocks, void *stream, A... args)
{
    kernel<<<blocks, BLOCK, 0, (cudaStream_t)stream>>>(args...);
}

template <typename... P, typename... A>
static inline void launch_joined(void (*kernel)(P...), unsigned blocks, void *stream, A... args)
{
    kernel<<<blocks, BLOCK, 0, (cudaStream_t)stream>>>(args...);
}
#endif

/* ---- division ---------------------------------------------------------------------------------
 * GPUs have no division.  Below 2^32 the high half of one product serves (Granlund and Montgomery,
 * PLDI 1994, figure 4.1); indices beyond take the slow way. */
struct divisor {
    unsigned by, factor, first, second;
};

static inline divisor divisor_of(int by)
{
    unsigned d = (unsigned)by, log = 0;
    while (log < 32 && (uint64_t)1 << log < d)
        log++;
    return { d, (unsigned)((((uint64_t)1 << 32) * (((uint64_t)1 << log) - d)) / d + 1),
             log < 1 ? log : 1, log > 0 ? log - 1 : 0 };
}

/* i = quotient * by + remainder. */
static __device__ __forceinline__ size_t divide(size_t i, divisor d, int *remainder)
{
    if (i >> 32) {
        size_t q = i / d.by;
        *remainder = (int)(i - q * d.by);
        return q;
    }
    unsigned n = (unsigned)i, t = (unsigned)((uint64_t)d.factor * n >> 32);
    unsigned q = (t + ((n - t) >> d.first)) >> d.second;
    *remainder = (int)(n - q * d.by);
    return q;
}

/* ---- loads and stores ------------------------------------------------------------------------- */

constexpr __host__ __device__ int wide(int type)
{
    return type == KT_F32 ? 4 : 8;
}

/* Where x and y differ in type, the one with more elements in 16 bytes decides. */
constexpr __host__ __device__ int wide(int x_type, int y_type)
{
    return wide(x_type) > wide(y_type) ? wide(x_type) : wide(y_type);
}

/* May a thread take W channels at a time?  Strides in elements, all multiples of W. */
static inline bool aligned(const void *p)
{
    return ((uintptr_t)p & 15) == 0;
}

template <int W, int T> static __device__ __forceinline__ void unpack(uint4 q, float *v)
{
    uint32_t u[4] = { q.x, q.y, q.z, q.w };
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (T == KT_F32) {
            v[k] = float_of_bits(u[k]);
        } else if (T == KT_F16) {
            v[2 * k] = float_of_f16((uint16_t)u[k]);
            v[2 * k + 1] = float_of_f16((uint16_t)(u[k] >> 16));
        } else {
            v[2 * k] = float_of_bits(u[k] << 16);
            v[2 * k + 1] = float_of_bits(u[k] & 0xffff0000u);
        }
    }
}

template <int T> static __device__ __forceinline__ uint32_t pack_word(const float *v)
{
    if (T == KT_F32) return bits_of_float(v[0]);
    if (T == KT_F16) return f16_of_float(v[0]) | (uint32_t)f16_of_float(v[1]) << 16;
    return bf16_of_float(v[0]) | (uint32_t)bf16_of_float(v[1]) << 16;
}

/* v[0..W) = elements at.. of p; W is 1 or a multiple of wide(T), and `at` is one of W; stores may have
 * half of wide(16-bit T), too. */
template <int T, int W> static __device__ __forceinline__ void load(const void *p, size_t at, float *v)
{
    if (W == 1) {
        v[0] = type_get(p, T, at);
    } else {
        const uint4 *q = (const uint4 *)((const char *)p + at * (T == KT_F32 ? 4 : 2));
        constexpr int each = wide(T);
#pragma unroll
        for (int k = 0; k < W / each; k++)
            unpack<W, T>(q[k], v + k * each);
    }
}

template <int T, int W> static __device__ __forceinline__ void store(void *p, size_t at, const float *v)
{
    if (W == 1) {
        type_put(p, T, at, v[0]);
    } else if (W * 2 == wide(T)) { /* half of it: pixels of four channels */
        uint2 o;
        o.x = pack_word<T>(v);
        o.y = pack_word<T>(v + W / 2);
        *(uint2 *)((char *)p + at * 2) = o;
    } else {
        uint4 *q = (uint4 *)((char *)p + at * (T == KT_F32 ? 4 : 2));
        constexpr int each = wide(T), word = each / 4;
#pragma unroll
        for (int k = 0; k < W / each; k++) {
            uint4 o;
            o.x = pack_word<T>(v + k * each);
            o.y = pack_word<T>(v + k * each + word);
            o.z = pack_word<T>(v + k * each + 2 * word);
            o.w = pack_word<T>(v + k * each + 3 * word);
            q[k] = o;
        }
    }
}

/* v[k] = act(v[k]); the choice is made once, not per element. */
template <int W> static __device__ __forceinline__ void activate(float *v, int act)
{
#define ACTIVATE(name, f)                                                                          \
    case name:                                                                                     \
        _Pragma("unroll") for (int k = 0; k < W; k++) v[k] = f(v[k]);                              \
        break
    switch (act) {
        ACTIVATE(KA_RELU, op_relu);
        ACTIVATE(KA_RELU6, op_relu6);
        ACTIVATE(KA_GELU, op_gelu);
        ACTIVATE(KA_SILU, op_silu);
        ACTIVATE(KA_SIGMOID, op_sigmoid);
    }
#undef ACTIVATE
}

/* ---- from the types of the arguments to the templates' ---------------------------------------- */

template <int V> struct number {
    static constexpr int value = V;
};

/* f(number<T>()) for the type of x, where y has the same. */
template <typename F> static inline void by_type(int type, F f)
{
    if (type == KT_F32) f(number<KT_F32>());
    else if (type == KT_F16) f(number<KT_F16>());
    else f(number<KT_BF16>());
}

/* f(number<X>(), number<Y>()) for equal types and those with float32 on one side. */
template <typename F> static inline void by_types(int x_type, int y_type, F f)
{
    if (x_type == y_type) by_type(x_type, [&](auto t) { f(t, t); });
    else if (x_type == KT_F32) by_type(y_type, [&](auto t) { f(number<KT_F32>(), t); });
    else by_type(x_type, [&](auto t) { f(t, number<KT_F32>()); });
}

/* Takes the launch's error, if any, to err_set: 0 or ERR_*.  In extract/cuda/errors.c. */
OP_API int launched(const char *kernel);

#endif
