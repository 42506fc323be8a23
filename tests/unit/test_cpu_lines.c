/* The bf16 lines of AVX512_BF16 against their plain twins: the same bits, NaN with any NaN; layer norm,
 * whose sums have another order, within one unit of the last place. */
#include "extract/cpu/lines_fast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 3, C_MAX = 101, LD = C_MAX + 6, ROOM = W * LD + 8 };

static uint64_t state = 88172645463325252u;

static float draw(void) /* mostly in [-4,4), now and then what is special; nothing below 2^-126 */
{
    static const float special[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 6.0f };
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (state % 29 == 0) return special[state / 29 % 8];
    return (float)((double)(state >> 11) / 9007199254740992.0 - 0.5) * 8;
}

static bf16 x[ROOM], z[ROOM], y[2][ROOM];
static float p[3][W * C_MAX], scratch[C_MAX];

static void fill(int plain_numbers)
{
    for (size_t i = 0; i < ROOM; i++) {
        float a = draw(), b = draw();
        x[i] = bf16_from_float(plain_numbers && !(fabsf(a) < 8) ? 1.0f : a);
        z[i] = bf16_from_float(b);
        y[0][i] = y[1][i] = 0x1234;
    }
    for (size_t i = 0; i < W * C_MAX; i++)
        for (int k = 0; k < 3; k++) {
            float a = draw();
            p[k][i] = plain_numbers && !(fabsf(a) < 8) ? 1.0f : a;
        }
}

static int is_nan(bf16 v)
{
    return (v & 0x7fff) > 0x7f80;
}

/* All of the room, so that nothing was written beyond the row. */
static void same(const char *what, size_t c, int units)
{
    for (size_t i = 0; i < ROOM; i++) {
        int off = (int)y[0][i] - (int)y[1][i];
        if (is_nan(y[0][i]) && is_nan(y[1][i])) continue;
        if (off < -units || off > units)
            fail_msg("%s of %zu: [%zu] is %04x, plain %04x", what, c, i, y[1][i], y[0][i]);
    }
}

#define XY x, LD, y[k], LD - 2, W, c
#define BOTH(name, units, ...)                                                                     \
    do {                                                                                           \
        fill(units > 0);                                                                           \
        for (int k = 0; k < 2; k++)                                                                \
            (k == 0 ? line_##name##_plain : line_##name##_fast)(__VA_ARGS__);                      \
        same(#name, c, units);                                                                     \
    } while (0)

static void twins_agree(void **unused)
{
    (void)unused;
    for (size_t c = 1; c <= C_MAX; c++) {
        BOTH(scale, 0, XY, p[0], p[1], 0.0f, 6.0f);
        BOTH(scale, 0, XY, p[0], p[1], -INFINITY, INFINITY);
        BOTH(norm, 0, XY, p[0], p[1], p[2], 0.0f, INFINITY);
        BOTH(gate, 0, XY, p[0]);
        BOTH(plus, 0, XY, p[0]);
        BOTH(bound, 0, XY, 0.0f, 6.0f);
        BOTH(add, 0, XY, z, LD - 1, 0.0f, INFINITY);
        BOTH(narrow, 0, p[0], y[k], c);
        BOTH(layernorm, 1, XY, p[0], p[1], 1e-6f, scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(twins_agree) };
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        printf("1..0 # SKIP this processor has no AVX512_BF16\n");
        return 0;
    }
    return cmocka_run_group_tests_name("cpu lines", tests, NULL, NULL);
}
