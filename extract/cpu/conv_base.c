/* The same template in plain C: any processor. */
#define LANES 4
#define ROWS 6
typedef float vec __attribute__((vector_size(16), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(16), may_alias));
static inline vec pick(mask m, vec yes, vec no)
{
    return (vec)((m & (mask)yes) | (~m & (mask)no));
}
#define LOAD(p) (*(const vec *)(const void *)(p))
#define STORE(p, v) (*(vec *)(void *)(p) = (v))
#define SET1(f) ((vec){ (f), (f), (f), (f) })
#define FMA(a, b, c) ((a) * (b) + (c))
#define ADD(a, b) ((a) + (b))
#define MAX(a, b) pick((a) < (b), b, a)
#define MIN(a, b) pick((b) < (a), b, a)
#define MADD(a, b, c) ((a) * (b) + (c))
#include "extract/cpu/conv_tile_f32.h"

const conv_kernel conv_kernel_base = { "base f32", "plain f32", LANES, ROWS, UNIT,
                                       0, tile, depthwise };
