/* The largest singular component of matrices made of cosines, whose components are known: sides that differ, gaps
 * that close, ties, nothing to find. */
#include "extract/singular.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Column k of the orthonormal cosine transform of length n. */
static double cosine(size_t n, size_t k, size_t i)
{
    double pi = 3.14159265358979323846;
    return sqrt((k == 0 ? 1.0 : 2.0) / (double)n) * cos(pi * ((double)i + 0.5) * (double)k / (double)n);
}

typedef struct made { /* a [rows, cols] = sum_k value[k] u_k v_k' */
    size_t rows, cols, n;
    double *a, *rest; /* rest: without the component k = 0 */
} made;

static made make(size_t rows, size_t cols, const double *value, size_t n)
{
    made m = { rows, cols, n, calloc(rows * cols, sizeof(double)), calloc(rows * cols, sizeof(double)) };
    assert_non_null(m.a);
    assert_non_null(m.rest);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) {
                /* not in the order of the values: the first basis vector is a constant */
                double part = value[k] * cosine(rows, n - 1 - k, i) * cosine(cols, (k + 2) % n, j);
                m.a[i * cols + j] += part;
                if (k > 0) m.rest[i * cols + j] += part;
            }
    return m;
}

static void clear(made *m)
{
    free(m->a);
    free(m->rest);
}

static double worst_of(const made *m)
{
    double worst = 0;
    for (size_t i = 0; i < m->rows * m->cols; i++)
        worst = fmax(worst, fabs(m->a[i] - m->rest[i]));
    return worst;
}

/* Rounding of 1e-16 sigma^2 turns the vector by that over the gap of sigma^2; with five values the process ends in
 * one go, so the bound on the residual, 1e-13, is not what counts. */
static void components_are_found_whatever_the_gap(void **state)
{
    static const size_t sides[][2] = { { 6, 6 }, { 12, 40 }, { 40, 12 }, { 200, 90 }, { 64, 225 }, { 5, 1000 } };
    static const double gaps[] = { 0.5, 0.1, 1e-2, 1e-3, 1e-4 };
    double used = 0;
    (void)state;
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++)
        for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
            double value[5] = { 3, 3 * (1 - gaps[g]), 1.2, 0.7, 1e-3 }, allowed = 1e-15 / gaps[g] + 3e-15;
            made m = make(sides[s][0], sides[s][1], value, 5);
            assert_int_equal(singular_deflate(m.a, m.rows, m.cols), 0);
            if (worst_of(&m) > allowed)
                fail_msg("%zu x %zu, gap %g: %.1e off, %.0e allowed", m.rows, m.cols, gaps[g], worst_of(&m), allowed);
            used = fmax(used, worst_of(&m) / allowed);
            clear(&m);
        }
    print_message("# %.0f%% of the tolerance used\n", 100 * used);
}

/* A spectrum without a leader, as of noise: half a thousand values between 1 and 2. */
static void flat_spectra_converge(void **state)
{
    enum { N = 120 };
    double value[N], allowed = 1e-13 * 2 * N;
    made m;
    (void)state;
    for (int k = 0; k < N; k++)
        value[k] = 2 - (double)k / N;
    m = make(N, N + 30, value, N);
    assert_int_equal(singular_deflate(m.a, m.rows, m.cols), 0);
    if (worst_of(&m) > allowed) fail_msg("%.1e off, %.0e allowed", worst_of(&m), allowed);
    clear(&m);
}

/* Of equal largest values one combination goes: the sum of squares tells. */
static void ties_lose_one(void **state)
{
    const double value[4] = { 2, 2, 2, 1 };
    made m = make(9, 14, value, 4);
    double squares = 0;
    (void)state;
    assert_int_equal(singular_deflate(m.a, m.rows, m.cols), 0);
    for (size_t i = 0; i < 9 * 14; i++)
        squares += m.a[i] * m.a[i];
    assert_true(fabs(squares - 9) < 1e-12);
    clear(&m);
}

static void nothing_is_left_of_a_vector(void **state)
{
    double a[7] = { 1, -2, 3, 0, 5, 1e-3, 7 }, b[7];
    (void)state;
    memcpy(b, a, sizeof a);
    assert_int_equal(singular_deflate(a, 7, 1), 0);
    assert_int_equal(singular_deflate(b, 1, 7), 0);
    for (int i = 0; i < 7; i++)
        assert_true(fabs(a[i]) < 1e-14 && fabs(b[i]) < 1e-14);
}

static void what_has_none_stays(void **state)
{
    double zero[12] = { 0 }, bad[12] = { 1, 2, NAN }, huge[12] = { 1e200, 2 }, tiny[12] = { 1e-160, 2e-161 };
    (void)state;
    assert_int_equal(singular_deflate(zero, 3, 4), 0);
    for (int i = 0; i < 12; i++)
        assert_true(zero[i] == 0);
    assert_int_equal(singular_deflate(bad, 3, 4), SINGULAR_NONE);
    assert_true(bad[0] == 1 && bad[1] == 2);
    assert_int_equal(singular_deflate(huge, 3, 4), SINGULAR_NONE);
    assert_true(huge[0] == 1e200);
    assert_int_equal(singular_deflate(tiny, 3, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components_are_found_whatever_the_gap), cmocka_unit_test(flat_spectra_converge),
        cmocka_unit_test(ties_lose_one), cmocka_unit_test(nothing_is_left_of_a_vector),
        cmocka_unit_test(what_has_none_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
