/* The same template in plain C: any processor. */
#include <stddef.h>

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
#define ABOVE(x, low, v) (vec)(~((x) <= (low)) & (truth)(v))
#define BELOW(x, high, v) (vec)(~((x) >= (high)) & (truth)(v))
#define HIGHEST(v) MOST_OF(MOST_OF((v)[0], (v)[1]), MOST_OF((v)[2], (v)[3]))
#define MOST_OF(a, b) ((a) < (b) ? (b) : (a))
#define TOTAL(v) (((v)[0] + (v)[2]) + ((v)[1] + (v)[3]))
enum { TURN = 4 };
/* Words k .. k + 3 of four rows to columns of `width` words: to[j][i] = x[i][k + j]. */
static void turn(const char *const *x, size_t k, char *to, size_t width)
{
    const vec a = LOAD(x[0] + 4 * k), b = LOAD(x[1] + 4 * k);
    const vec c = LOAD(x[2] + 4 * k), d = LOAD(x[3] + 4 * k);
    const truth low = { 0, 4, 1, 5 }, high = { 2, 6, 3, 7 }, left = { 0, 1, 4, 5 }, right = { 2, 3, 6, 7 };
    const vec p = __builtin_shuffle(a, b, low), q = __builtin_shuffle(c, d, low);
    const vec r = __builtin_shuffle(a, b, high), s = __builtin_shuffle(c, d, high);
    STORE(to, __builtin_shuffle(p, q, left));
    STORE(to + 4 * width, __builtin_shuffle(p, q, right));
    STORE(to + 8 * width, __builtin_shuffle(r, s, left));
    STORE(to + 12 * width, __builtin_shuffle(r, s, right));
}
#include "extract/cpu/conv_tile_f32.h"

const conv_kernel conv_kernel_base = {
    .name = "base f32", .rounding = "plain f32", .lanes = LANES, .tile_rows = ROWS, .unit = UNIT,
    .is_bf16 = 0, .turn_side = TURN, .tile = tile, .depthwise = depthwise, .curve = curve_line, .slope = slope_line,
    .softmax = softmax, .quotients = quotients, .powers = powers, .gather = gather, .turn = turn,
};
