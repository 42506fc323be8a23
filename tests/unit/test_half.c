/* common/half.c against the definition of binary16: every half, every midpoint between neighbours. */
#include "common/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The value of a finite half, from its three fields. */
static double value(unsigned h)
{
    int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    double v = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return h & 0x8000 ? -v : v;
}

static void every_half(void **state)
{
    (void)state;
    for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000)
        for (unsigned h = 0; h < 0x7c00; h++)
            assert_int_equal(half_of((float)value(sign | h)), sign | h);
}

/* Ties go to the even one; what is nearer to one side goes there.  Midpoints of halves are exact floats. */
static void every_midpoint(void **state)
{
    (void)state;
    for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000)
        for (unsigned h = 0; h < 0x7bff; h++) {
            float middle = (float)((value(sign | h) + value(sign | (h + 1))) / 2);
            float outward = nextafterf(middle, sign ? -INFINITY : INFINITY), inward = nextafterf(middle, 0);
            assert_int_equal(half_of(middle), sign | (h + (h & 1)));
            assert_int_equal(half_of(outward), sign | (h + 1));
            assert_int_equal(half_of(inward), sign | h);
        }
}

static void beyond(void **state)
{
    float in[] = { 65519.996f, 65520.0f, -65520.0f, INFINITY, -INFINITY, 3e38f, 1e-45f, -1e-45f };
    uint16_t out[8];
    (void)state;
    half_from_floats(out, in, 8);
    assert_int_equal(out[0], 0x7bff);
    assert_int_equal(out[1], 0x7c00);
    assert_int_equal(out[2], 0xfc00);
    assert_int_equal(out[3], 0x7c00);
    assert_int_equal(out[4], 0xfc00);
    assert_int_equal(out[5], 0x7c00);
    assert_int_equal(out[6], 0);
    assert_int_equal(out[7], 0x8000);
    assert_true((half_of(NAN) & 0x7c00) == 0x7c00 && (half_of(NAN) & 0x3ff) != 0);
    assert_true(half_fits(in[0]) && !half_fits(in[1]) && !half_fits(in[2]) && !half_fits(NAN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half), cmocka_unit_test(every_midpoint), cmocka_unit_test(beyond),
    };
    return cmocka_run_group_tests_name("half", tests, NULL, NULL);
}
