/* Logistic regression beside scikit-learn 1.2's LogisticRegressionCV(tol=1e-12, max_iter=100000) on the same rows:
 * x_ij = sin(3 i + 5 j + i j) + y_i (j + 1) / 4 - 10 j, y_i = 1 where (7 i) mod 11 < 5. */
#include "score/stats/logistic.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { N = 60, D = 3 };

static double x[N * D];
static unsigned char y[N];

static void make(void)
{
    for (int i = 0; i < N; i++) {
        y[i] = (7 * i) % 11 < 5;
        for (int j = 0; j < D; j++)
            x[i * D + j] = sin(3 * i + 5 * j + i * j) + y[i] * (j + 1) / 4.0 - 10 * j;
    }
}

static void fits_as_scikit_learn(void **unused)
{
#include "tests/unit/logistic_golden.h"
    double w[D + 1], c = 0, worst = 0;
    (void)unused;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        assert_int_equal(logistic_fit(x, y, NULL, N, D, known[k].c, w), 0);
        for (int j = 0; j <= D; j++)
            worst = fmax(worst, fabs(w[j] - known[k].w[j]) / (1 + fabs(known[k].w[j])));
    }
    assert_int_equal(logistic_fit_cv(x, y, N, D, w, &c), 0);
    assert_true(fabs(c / chosen.c - 1) < 1e-12);
    for (int j = 0; j <= D; j++)
        worst = fmax(worst, fabs(w[j] - chosen.w[j]) / (1 + fabs(chosen.w[j])));
    print_message("# coefficients off by %.1e, allowed 1e-4\n", worst);
    assert_true(worst < 1e-4);
}

/* Rows that a line separates have large weights, not infinite ones; one class alone only an intercept. */
static void ends_on_hard_rows(void **unused)
{
    static const double line[4] = {-2, -1, 1, 2}, far[4] = {-2e6, -1e6, 1e6, 2e6};
    static const unsigned char half[4] = {0, 0, 1, 1}, none[4] = {0, 0, 0, 0};
    double w[2];
    (void)unused;
    assert_int_equal(logistic_fit(line, half, NULL, 4, 1, 1e4, w), 0);
    assert_true(isfinite(w[0]) && w[0] > 2 && fabs(w[1]) < 1e-6);
    assert_int_equal(logistic_fit(far, half, NULL, 4, 1, 1e4, w), 0);
    assert_true(isfinite(w[0]) && w[0] > 0);
    assert_int_equal(logistic_fit(line, none, NULL, 4, 1, 1, w), 0);
    assert_true(isfinite(w[0]) && isfinite(w[1]) && w[1] < -5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_as_scikit_learn),
        cmocka_unit_test(ends_on_hard_rows),
    };
    make();
    return cmocka_run_group_tests_name("logistic", tests, NULL, NULL);
}
