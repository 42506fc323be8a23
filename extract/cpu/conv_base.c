/* The same template in plain C: any processor. */
#define LANES 4
#define ROWS 6
typedef float vec __attribute__((vector_size(16), aligned(4), may_alias));
typedef int truth __attribute__((vector_size(16), may_alias));
typedef unsigned bits __attribute__((vector_size(16), may_alias));
static inline vec pick(truth m, vec yes, vec no)
{
    return (vec)((m & (truth)yes) | (~m & (truth)no));
}
#define LOAD(p) (*(const vec *)(const void *)(p))
#define STORE(p, v) (*(vec *)(void *)(p) = (v))
#define SET1(f) ((vec){ (f), (f), (f), (f) })
#define FMA(a, b, c) ((a) * (b) + (c))
#define ADD(a, b) ((a) + (b))
#define MAX(a, b) pick((a) < (b), b, a)
#define MIN(a, b) pick((b) < (a), b, a)
#define MADD(a, b, c) ((a) * (b) + (c))
#define ROUND(v) ((v) + SET1(12582912.0f) - SET1(12582912.0f)) /* 1.5 2^23: no digits below one */
static inline vec exponent(vec p, vec n, vec u)
{
    return (vec)(~(u < -125.0f) & (truth)((bits)p + ((bits)__builtin_convertvector(n, truth) << 23)));
}
#define EXPONENT(p, n, u) exponent(p, n, u)
#define BY_SIGN(x, minus, plus) pick((truth)(x) < 0, minus, plus)
#define HIGHEST(v) MOST_OF(MOST_OF((v)[0], (v)[1]), MOST_OF((v)[2], (v)[3]))
#define MOST_OF(a, b) ((a) < (b) ? (b) : (a))
#define TOTAL(v) (((v)[0] + (v)[2]) + ((v)[1] + (v)[3]))
#include "extract/cpu/conv_tile_f32.h"

const conv_kernel conv_kernel_base = { "base f32", "plain f32", LANES, ROWS, UNIT,
                                       0, tile, depthwise, curve_line, softmax, quotient, powers };
