/* NAC's bins and numpy's legacy shuffle, by the specification's vectors. */
#include "score/stats/coverage.h"
#include "score/stats/shuffle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void shuffled(size_t n, size_t *v)
{
    mt19937 r;
    for (size_t i = 0; i < n; i++)
        v[i] = i;
    mt19937_seed(&r, 1);
    legacy_shuffle(&r, v, n);
}

static void shuffles_as_numpy(void **unused)
{
    static const struct {
        size_t n, start[3];
    } known[] = {{5, {2, 1, 4}}, {1300, {1109, 370, 572}}, {1299, {1108, 370, 571}}};
    static size_t v[1300];
    mt19937 r;
    (void)unused;
    mt19937_seed(&r, 5489); /* the authors' first and second number */
    assert_int_equal(mt19937_next(&r), UINT32_C(3499211612));
    assert_int_equal(mt19937_next(&r), UINT32_C(581869302));
    for (size_t k = 0; k < 3; k++) {
        shuffled(known[k].n, v);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(v[i], known[k].start[i]);
    }
    v[0] = 7;
    legacy_shuffle(&r, v, 1);
    legacy_shuffle(&r, v, 0);
    assert_int_equal(v[0], 7);
}

static void near(double a, double b)
{
    if (!(fabs(a - b) < 5e-9)) fail_msg("%.10g, expected %.10g", a, b);
}

static void has_the_published_boundaries(void **unused)
{
    static const struct {
        size_t at;
        double t;
    } known[] = {{0, 0}, {1, 0.11905418}, {2, 0.18348683}, {23, 0.49403777}, {25, 0.50596223}, {47, 0.88094582}};
    double t[1000];
    (void)unused;
    coverage_boundaries(COVERAGE_UE, 50, t);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        near(t[known[i].at], known[i].t);
    assert_true(t[24] == 0.5 && t[48] == 1.01 && t[49] == 1.2);
    for (size_t m = 4; m <= 1000; m += 2) {
        coverage_boundaries(COVERAGE_UE, m, t);
        assert_true(t[m / 2 - 1] == 0.5);
        for (size_t i = 1; i < m; i++)
            assert_true(t[i] > t[i - 1]);
    }
    coverage_boundaries(COVERAGE_UE, 500, t);
    assert_true(fabs(t[250] - t[249] - 0.000564) < 5e-7);
    coverage_boundaries(COVERAGE_UE, 1000, t);
    assert_true(fabs(t[500] - t[499] - 0.000281) < 5e-7);
}

static void bins_are_half_open(void **unused)
{
    static const double states[] = {0.32698732, 0.99991791, 0.5, 0.99474239};
    static const size_t bins[] = {6, 47, 24, 47};
    double t[50];
    (void)unused;
    coverage_boundaries(COVERAGE_UE, 50, t);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(coverage_bin(t, 50, states[i]), bins[i]);
    for (size_t i = 0; i < 49; i++) {
        assert_int_equal(coverage_bin(t, 50, t[i]), i);
        if (i > 0) assert_int_equal(coverage_bin(t, 50, nextafter(t[i], 0)), i - 1);
    }
    assert_int_equal(coverage_bin(t, 50, 1), 47);
    assert_int_equal(coverage_bin(t, 50, 1.2), 49);
    assert_int_equal(coverage_bin(t, 50, NAN), 49);
    coverage_boundaries(COVERAGE_V0, 11, t);
    assert_int_equal(coverage_bin(t, 11, 0), 0);
    assert_int_equal(coverage_bin(t, 11, 0.95), 9);
    assert_int_equal(coverage_bin(t, 11, 1), 10); /* none */
    assert_true(coverage_state(-1e30f, 3000) == 0 && coverage_state(0, 3000) == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffles_as_numpy),
        cmocka_unit_test(has_the_published_boundaries),
        cmocka_unit_test(bins_are_half_open),
    };
    return cmocka_run_group_tests_name("coverage", tests, NULL, NULL);
}
