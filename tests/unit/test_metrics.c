/* score/metrics.c against golden values (methods-seeds section 15: made with the published metric
 * functions) and against cases worked out by hand. */
#include "score/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static metrics of(const float *id, size_t n_id, const float *ood, size_t n_ood)
{
    score_set a = { 0 }, b = { 0 };
    metrics m;
    assert_int_equal(score_set_init(&a, id, n_id, "id"), 0);
    assert_int_equal(score_set_init(&b, ood, n_ood, "ood"), 0);
    assert_int_equal(metrics_compute(&m, &a, &b), 0);
    score_set_clear(&a);
    score_set_clear(&b);
    return m;
}
#define OF(id, ood) of(id, sizeof(id) / sizeof *(id), ood, sizeof(ood) / sizeof *(ood))

static void near(const char *what, double got, double want, double tolerance)
{
    double off = fabs(got - want);
    print_message("# %s: off by %.2g of %.2g\n", what, off, tolerance);
    assert_true(off <= tolerance);
}

static void golden_values(void **state)
{
    static const float id[] = { 1, 2, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16 };
    static const float ood[] = { 0, 1, 2, 2, 3, 4, 6, 7, 9, 12 };
    metrics m = OF(id, ood);
    (void)state;
    assert_true(m.auroc == 0.7175);
    assert_true(m.fpr95_vim == 0.8);
    assert_true(m.fpr95_mos == 0.8);
    assert_true(m.fpr95_react == 0.6);
    assert_true(m.fpr95_openood == 0.8);
    near("AUPR-in", m.aupr_in, 0.8395939541, 5e-11);
    near("AP-in", m.ap_in, 0.8298316859, 5e-11);
    near("AUPR-out", m.aupr_out, 0.5890307890, 5e-11);
    near("AP-out", m.ap_out, 0.5596040561, 5e-11);
}

static void order_of_the_input_is_free(void **state)
{
    static const float a[] = { 3, -1, 2.5f, 1e-40f, -7 }, b[] = { 2.5f, -7, 3, -1, 1e-40f };
    static const float c[] = { 0, -1, 9 }, d[] = { 9, 0, -1 };
    metrics x = OF(a, c), y = OF(b, d);
    (void)state;
    assert_memory_equal(&x, &y, sizeof x);
}

static void all_equal_is_one_half(void **state)
{
    static const float id[] = { 2, 2, 2 }, ood[] = { 2, 2 };
    metrics m = OF(id, ood);
    (void)state;
    assert_true(m.auroc == 0.5);
    assert_true(m.fpr95_vim == 1 && m.fpr95_mos == 1 && m.fpr95_openood == 1);
    assert_true(m.fpr95_react == 0); /* strictly above */
    near("AP-in is the share of ID", m.ap_in, 0.6, 1e-15);
    near("AP-out is the share of OOD", m.ap_out, 0.4, 1e-15);
    near("AUPR-in, trapezoid from (0,1)", m.aupr_in, 0.8, 1e-15);
}

static void perfect_and_reversed(void **state)
{
    static const float hi[] = { 5, 6, 7 }, lo[] = { -3, -2, -1e30f };
    metrics m = OF(hi, lo);
    (void)state;
    assert_true(m.auroc == 1 && m.fpr95_vim == 0 && m.fpr95_mos == 0 && m.fpr95_react == 0);
    assert_true(m.fpr95_openood == 0 && m.aupr_in == 1 && m.aupr_out == 1);
    assert_true(m.ap_in == 1 && m.ap_out == 1);
    m = OF(lo, hi);
    assert_true(m.auroc == 0 && m.fpr95_vim == 1 && m.fpr95_mos == 1 && m.fpr95_openood == 1);
}

static void zeros_of_both_signs_tie(void **state)
{
    static const float plus[] = { 0.0f }, minus[] = { -0.0f };
    (void)state;
    assert_true(OF(plus, minus).auroc == 0.5 && OF(minus, plus).auroc == 0.5);
    assert_true(OF(minus, plus).fpr95_vim == 1 && OF(plus, minus).fpr95_react == 0);
}

static void denormals_are_ordered(void **state)
{
    static const float id[] = { 3e-45f }, ood[] = { 1e-45f };
    (void)state;
    assert_true(OF(id, ood).auroc == 1);
}

/* ID = OOD = 0..n-1, so the number of OOD scores let through says which ID score is the threshold.
 * mos: numpy's argmin of |(n..1) / n - 0.95| said so. */
static void thresholds_at_small_n(void **state)
{
    static const struct { size_t n, vim, mos, react; } want[] = {
        { 1, 1, 1, 0 },      /* the one score */
        { 2, 1, 2, 1 },      /* floor(1.9) = 1: the larger; recall 1 nearer than 0.5; round(0.1) = 0 */
        { 10, 9, 9, 9 },     /* floor(9.5) = 9; f64 finds 0.9 nearer than 1.0; round(0.5) = 0 */
        { 19, 18, 18, 17 },  /* floor(18.05) = 18; 18/19 = 0.947 is off 0.0026; round(0.95) = 1 */
        { 20, 19, 19, 18 },  /* 19; 0.95; round(1) = 1 */
        { 21, 19, 20, 19 },  /* floor(19.95) = 19; 20/21 = 0.952 is off 0.0024; round(1.05) = 1 */
        { 30, 28, 28, 27 }, /* round(1.5) = 2 */
        { 50, 47, 48, 47 }, /* round(2.5) = 2 */
    };
    float v[50];
    (void)state;
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        size_t n = want[k].n;
        double share = 1.0 / (double)n;
        metrics m;
        for (size_t i = 0; i < n; i++)
            v[i] = (float)i;
        m = of(v, n, v, n);
        print_message("# n = %zu: vim %g mos %g react %g\n", n, m.fpr95_vim / share,
                      m.fpr95_mos / share, m.fpr95_react / share);
        assert_true(m.fpr95_vim == (double)want[k].vim / (double)n);
        assert_true(m.fpr95_mos == (double)want[k].mos / (double)n);
        assert_true(m.fpr95_react == (double)want[k].react / (double)n);
    }
}

/* Between the threshold and the next ID score lie OOD scores: mos counts them, vim does not. */
static void mos_counts_up_to_the_next_id_score(void **state)
{
    float id[20];
    static const float ood[] = { 0.25f, 0.5f, 1.5f, -1 };
    metrics m;
    (void)state;
    for (int i = 0; i < 20; i++)
        id[i] = (float)i;
    m = of(id, 20, ood, 4);
    assert_true(m.fpr95_vim == 0.25 && m.fpr95_mos == 0.75 && m.fpr95_react == 0.25);
}

static void openood_fixes_the_recall_of_ood(void **state)
{
    float id[40], ood[40];
    (void)state;
    for (int i = 0; i < 40; i++) {
        id[i] = (float)i;
        ood[i] = (float)i - 20; /* the ceil(0.95 n)-th smallest of n */
    }
    assert_true(of(id, 40, ood, 1).fpr95_openood == 0.0);          /* 1st: -20 */
    assert_true(of(id, 40, ood, 19).fpr95_openood == 0.0);         /* 19th: -2 */
    assert_true(of(id, 40, ood, 20).fpr95_openood == 0.0);         /* 19th: -2 */
    assert_true(of(id, 40, ood, 21).fpr95_openood == 0.0);         /* 20th: -1 */
    assert_true(of(id, 40, ood, 40).fpr95_openood == 18.0 / 40.0); /* 38th: 17 */
}

/* 1 - s in f32 loses differences far below 1: the trapezoid AUPR-out sees a tie, nothing else does. */
static void flip_merges_tiny_scores(void **state)
{
    static const float id[] = { -1e-9f }, ood[] = { -2e-9f };
    metrics m = OF(id, ood);
    (void)state;
    assert_true(m.auroc == 1 && m.ap_out == 1 && m.aupr_in == 1);
    assert_true(m.aupr_out == 0.75); /* one cut with precision 1/2, joined to (0, 1) */
}

static void not_finite_and_empty_are_refused(void **state)
{
    static const float bad[] = { 1, NAN, 2, INFINITY };
    score_set s = { 0 };
    metrics m;
    (void)state;
    assert_int_equal(score_set_init(&s, bad, 4, "vim on texture"), ERR_INPUT);
    assert_string_equal(err_text(), "vim on texture: 2 of 4 scores are NaN or infinite, "
                                    "the first in row 1");
    err_clear();
    assert_int_equal(score_set_init(&s, bad, 0, "vim on texture"), ERR_INPUT);
    assert_string_equal(err_text(), "vim on texture: no scores, the metrics are undefined");
    err_clear();
    assert_int_equal(metrics_compute(&m, &s, &s), ERR_INPUT);
    err_clear();
    assert_null(s.key);
}

static void fields_name_every_metric(void **state)
{
    metrics m = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    size_t n = 0;
    (void)state;
    for (const metric_field *f = metric_fields; f->name != NULL; f++)
        assert_true(metric_value(&m, f) == (double)++n);
    assert_int_equal(n * sizeof(double), sizeof m);
    assert_non_null(metric_field_find("fpr95_react"));
    assert_null(metric_field_find("fpr"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values),
        cmocka_unit_test(order_of_the_input_is_free),
        cmocka_unit_test(all_equal_is_one_half),
        cmocka_unit_test(perfect_and_reversed),
        cmocka_unit_test(zeros_of_both_signs_tie),
        cmocka_unit_test(denormals_are_ordered),
        cmocka_unit_test(thresholds_at_small_n),
        cmocka_unit_test(mos_counts_up_to_the_next_id_score),
        cmocka_unit_test(openood_fixes_the_recall_of_ood),
        cmocka_unit_test(flip_merges_tiny_scores),
        cmocka_unit_test(not_finite_and_empty_are_refused),
        cmocka_unit_test(fields_name_every_metric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
