/* Element types of tensors: float32 and the two 16-bit types, IEEE binary16 and bfloat16.
 * Arithmetic is always float32; these convert on the way in and out, rounding to nearest even.
 * Overflow gives infinity, denormals are kept, every NaN becomes 0x7fff, as on the GPU, whose own
 * instructions are used there.
 * Read by C11 (CPU twin) and by nvcc's C++17 (CUDA twin). */
#ifndef OUTPOST_KERNEL_TYPES_H
#define OUTPOST_KERNEL_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define OP_MATH static __host__ __device__ __forceinline__
#define OP_API extern "C"
#else
#define OP_MATH static inline
#define OP_API
#endif

enum kernel_type { KT_F32, KT_F16, KT_BF16 };

OP_MATH size_t type_bytes(int type)
{
    return type == KT_F32 ? 4 : 2;
}

OP_MATH float float_of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

OP_MATH uint32_t bits_of_float(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

OP_MATH float float_of_bf16(uint16_t b)
{
    return float_of_bits((uint32_t)b << 16);
}

OP_MATH uint16_t bf16_of_float(float v)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint16_t b;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b) : "f"(v));
    return b;
#else
    uint32_t u = bits_of_float(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
#endif
}

OP_MATH float float_of_f16(uint16_t h)
{
#ifdef __CUDA_ARCH__
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(h));
    return v;
#else
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) return float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest >= 0x400u) return float_of_bits(sign | ((rest << 13) + 0x38000000u));
    /* A denormal, k / 2^24; the product is exact. */
    return float_of_bits(sign | bits_of_float((float)rest * 5.9604644775390625e-8f));
#endif
}

OP_MATH uint16_t f16_of_float(float v)
{
#ifdef __CUDA_ARCH__
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
    return h;
#else
    uint32_t u = bits_of_float(v), sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
    if (rest > 0x7f800000u) return 0x7fff;
    if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above */
    if (rest >= 0x38800000u)
        return (uint16_t)(sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13);
    /* Below 2^-14: adding 1/2 leaves k / 2^24, rounded to nearest even, in the last bits. */
    return (uint16_t)(sign | (bits_of_float(float_of_bits(rest) + 0.5f) - 0x3f000000u));
#endif
}

OP_MATH float type_get(const void *p, int type, size_t at)
{
    if (type == KT_F32) return ((const float *)p)[at];
    if (type == KT_F16) return float_of_f16(((const uint16_t *)p)[at]);
    return float_of_bf16(((const uint16_t *)p)[at]);
}

OP_MATH void type_put(void *p, int type, size_t at, float v)
{
    if (type == KT_F32)
        ((float *)p)[at] = v;
    else
        ((uint16_t *)p)[at] = type == KT_F16 ? f16_of_float(v) : bf16_of_float(v);
}

#endif
