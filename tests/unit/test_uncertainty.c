/* score/uncertainty.c beside its plain twin, score/metrics.c, and at its edges.  Truth from outside is in
 * tests/score/uncertainty_oracle.py. */
#include "score/uncertainty.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static uint64_t seed = 88172645463325252u;

static size_t below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % n;
}

/* Counts of distinct scores give the metrics of the scores written out, groups of count 0 and scores that
 * 1 - s merges included. */
static void counts_are_scores(void **state)
{
    enum { GROUPS = 40, MOST = 4 };
    double worst = 0;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint32_t p[GROUPS], q[GROUPS];
        uint32_t chain[GROUPS];
        double room[3 * GROUPS + 1];
        float id[GROUPS * MOST], ood[GROUPS * MOST], before = 0;
        size_t groups = 2 + below(GROUPS - 2), n = 0, m = 0;
        score_set a = { 0 }, b = { 0 };
        metrics want, got;
        for (size_t g = 0; g < groups; g++) {
            float v = (float)((double)g * (round % 3 == 0 ? 1.3e-8 : 0.7) - 3 * (round % 3 != 0));
            chain[g] = g > 0 ? chain[g - 1] + (1.0f - v != 1.0f - before) : 0;
            before = v;
            p[g] = (uint32_t)below(MOST);
            q[g] = (uint32_t)below(MOST);
            for (uint32_t k = 0; k < p[g]; k++)
                id[n++] = v;
            for (uint32_t k = 0; k < q[g]; k++)
                ood[m++] = v;
        }
        if (n == 0 || m == 0) continue;
        assert_int_equal(score_set_init(&a, id, n, "id"), 0);
        assert_int_equal(score_set_init(&b, ood, m, "ood"), 0);
        assert_int_equal(metrics_compute(&want, &a, &b), 0);
        metrics_of_counts(&got, p, q, chain, groups, room);
        for (size_t k = 0; k < METRIC_COUNT; k++)
            worst = fmax(worst, fabs(metric_value(&got, &metric_fields[k]) -
                                     metric_value(&want, &metric_fields[k])));
        score_set_clear(&a);
        score_set_clear(&b);
    }
    print_message("# metrics of counts: off by %.1e of 1e-14\n", worst);
    assert_true(worst <= 1e-14);
}

static void edges(void **state)
{
    static const float one[] = { 1 }, two[] = { 2, 3 }, three[] = { 0, 1, 5 }, bad[] = { 1, NAN };
    score_set a = { 0 }, b = { 0 }, c = { 0 };
    interval ci[METRIC_COUNT], i;
    paired_test t;
    double variance;
    (void)state;
    assert_int_equal(score_set_init(&a, one, 1, "a"), 0);
    assert_int_equal(score_set_init(&b, two, 2, "b"), 0);
    assert_int_equal(score_set_init(&c, three, 3, "c"), 0);
    assert_true(isnan(auroc_variance(&a, &b)) && isnan(auroc_variance(&b, &a)));
    i = auroc_interval(0.5, auroc_variance(&a, &b));
    assert_true(isnan(i.lo) && isnan(i.hi));
    i = auroc_interval(0.99, 0.01);
    assert_true(i.hi == 1 && i.lo > 0.79 && i.lo < 0.8);
    assert_int_equal(auroc_variance_of_mean(&variance, &b, &c, 1), 0);
    assert_true(fabs(variance - auroc_variance(&b, &c)) < 1e-16);
    assert_int_equal(metrics_bootstrap(ci, &a, &a, 1, 0), 0); /* one against itself: one half */
    assert_true(ci[0].lo == 0.5 && ci[0].hi == 0.5);
    assert_int_equal(metrics_bootstrap(ci, &b, &a, 10, 7), 0); /* nothing overlaps */
    assert_true(ci[0].lo == 1 && ci[0].hi == 1 && ci[1].lo == 0 && ci[1].hi == 0);
    assert_int_equal(auroc_test_paired(&t, two, two, 2, one, one, 1), 0);
    assert_true(isnan(t.variance) && isnan(t.p) && t.a == 1 && t.b == 1);
    assert_int_equal(auroc_test_paired(&t, two, two, 2, three, three, 3), 0);
    assert_true(t.z == 0 && t.p == 1 && t.a == t.b && t.difference.lo == 0);
    err_clear();
    assert_int_equal(auroc_test_paired(&t, bad, two, 2, three, three, 3), ERR_INPUT);
    err_clear();
    assert_int_equal(auroc_test_paired(&t, two, two, 0, three, three, 3), ERR_INPUT);
    score_set_clear(&a);
    score_set_clear(&b);
    score_set_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(counts_are_scores), cmocka_unit_test(edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
