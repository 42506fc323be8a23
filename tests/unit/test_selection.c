/* The statistics that the methods over features share: selection, quantiles of products, Weibull tails, draws,
 * sums by class, groups of classes, the two newer row functions.  Against sorting, against definitions, and the
 * vector twins against the plain one. */
#include "common/err.h"
#include "common/log.h"
#include "score/stats/class_sums.h"
#include "score/stats/density.h"
#include "score/stats/draw.h"
#include "score/stats/groups.h"
#include "score/stats/products.h"
#include "score/stats/quantile.h"
#include "score/stats/rowmath.h"
#include "score/stats/temperature.h"
#include "score/stats/topk.h"
#include "score/stats/weibull.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static draw r = {7};

static int by_float(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

static int by_double(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of several kinds: continuous, with ties, all equal, tiny, zeros of both signs. */
static float value_of_kind(int kind)
{
    double x = draw_normal(&r);
    if (kind == 1) return (float)(int)(2 * x);
    if (kind == 2) return 1.5f;
    if (kind == 3) return (float)(x * 1e-40);
    if (kind == 4) return draw_below(&r, 2) ? -0.0f : 0.0f;
    return (float)x;
}

static void topk_is_what_sorting_gives(void **unused)
{
    (void)unused;
    enum { MOST = 700 };
    float v[MOST], sorted[MOST];
    for (int trial = 0; trial < 600; trial++) {
        size_t n = 1 + draw_below(&r, MOST), k = 1 + draw_below(&r, n), larger, above = 0;
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            v[i] = value_of_kind(trial % 5);
        memcpy(sorted, v, n * sizeof *v);
        qsort(sorted, n, sizeof *sorted, by_float);
        for (size_t i = 0; i < n; i++)
            above += v[i] > sorted[k - 1];
        for (size_t i = 0; i < k; i++)
            sum += (double)sorted[i];
        assert_true(topk_least(v, n, k, &larger) == sorted[k - 1]);
        assert_int_equal(larger, above);
        assert_true(fabs(topk_sum(v, n, k) - sum) <= 1e-12 * (1 + fabs(sum)));
    }
    assert_int_equal(topk_of_percent(2048, 90), 205); /* the sizes of the specification */
    assert_int_equal(topk_of_percent(2048, 65), 717);
    assert_int_equal(topk_of_percent(768, 90), 77);
    assert_int_equal(topk_of_percent(5, 50), 3); /* half to even: 2.5 -> 2 */
}

static void quantiles_are_what_sorting_gives(void **unused)
{
    (void)unused;
    enum { MOST = 500 };
    double v[MOST], sorted[MOST];
    float f[MOST], g[MOST];
    for (int trial = 0; trial < 600; trial++) {
        size_t n = 1 + draw_below(&r, MOST), i;
        double q = trial % 7 == 0 ? 1 : trial % 11 == 0 ? 0 : (double)draw_below(&r, 1001) / 1000, at, t, want;
        for (i = 0; i < n; i++) {
            f[i] = g[i] = value_of_kind(trial % 5);
            v[i] = sorted[i] = (double)f[i] * 1.0000001;
        }
        qsort(sorted, n, sizeof *sorted, by_double);
        at = q * (double)(n - 1);
        i = (size_t)at;
        t = at - floor(at);
        want = i + 1 < n ? (t >= 0.5 ? sorted[i + 1] - (sorted[i + 1] - sorted[i]) * (1 - t)
                                     : sorted[i] + (sorted[i + 1] - sorted[i]) * t)
                         : sorted[i];
        assert_true(select_quantile(v, n, q) == want);
        assert_true(select_quantile_f32(f, n, q) == quantile_by_sort(g, n, q));
    }
}

static void quantiles_of_products_are_exact(void **unused)
{
    (void)unused;
    enum { A = 5, C_ = 13, D_ = 29 };
    static double a[A * D_], all[C_ * D_], value[A];
    static float w[C_ * D_];
    budget mem = {0};
    for (int trial = 0; trial < 60; trial++) {
        double q = trial % 9 == 0 ? 1 : trial % 10 == 0 ? 0 : (double)draw_below(&r, 101) / 100;
        for (int i = 0; i < A * D_; i++)
            a[i] = draw_below(&r, 3) == 0 ? 0 : fabs(draw_normal(&r));
        for (int i = 0; i < C_ * D_; i++)
            w[i] = value_of_kind(trial % 3);
        assert_int_equal(products_quantile(a, A, w, C_, D_, q, &mem, value), 0);
        for (int k = 0; k < A; k++) {
            for (int i = 0; i < C_ * D_; i++)
                all[i] = a[k * D_ + i % D_] * (double)w[i];
            if (value[k] != select_quantile(all, C_ * D_, q))
                fail_msg("trial %d class %d: %.17g", trial, k, value[k]);
        }
    }
    assert_int_equal(mem.used, 0);
}

/* The likelihood itself is largest there; tests/score/oracle_head.py solves its equation with scipy. */
static void weibull_is_the_likeliest(void **unused)
{
    (void)unused;
    double tail[20], worst = 0, same[3] = {2, 2, 2};
    weibull w;
    for (int trial = 0; trial < 50; trial++) {
        double least = INFINITY, most = 0, best = 0, shift, scale;
        for (int i = 0; i < 20; i++) {
            tail[i] = 5 + fabs(draw_normal(&r)) * (1 + trial);
            least = fmin(least, tail[i]);
            most = fmax(most, tail[i]);
        }
        weibull_fit_high(&w, tail, 20);
        shift = 10000 - least;
        scale = (most + shift) * exp(w.log_mean / w.shape);
        for (int step = -1; step <= 1; step++) { /* the log likelihood falls on both sides */
            double a = w.shape * (1 + 1e-3 * step), sum = 0, like = 0, b;
            for (int i = 0; i < 20; i++)
                sum += exp(a * log((tail[i] + shift) / (most + shift))) / 20;
            b = (most + shift) * exp(log(sum) / a);
            for (int i = 0; i < 20; i++) {
                double t = log((tail[i] + shift) / b);
                like += log(a / b) + (a - 1) * t - exp(a * t);
            }
            if (step == -1) best = like;
            else if (step == 0) {
                assert_true(like > best);
                best = like;
            } else assert_true(like < best);
        }
        for (int i = 0; i < 20; i++) {
            double direct = 1 - exp(-exp(w.shape * log((tail[i] + shift) / scale)));
            worst = fmax(worst, fabs(weibull_cdf(&w, tail[i]) - direct));
        }
        assert_true(weibull_cdf(&w, -1e5) == 0);
        assert_true(weibull_cdf(&w, 1e5) == 1);
    }
    print_message("# Weibull probabilities: %.1e of 1e-9 allowed\n", worst);
    assert_true(worst < 1e-9);
    weibull_fit_high(&w, same, 3); /* a step */
    assert_true(weibull_cdf(&w, 1.99) == 0 && weibull_cdf(&w, 2.01) == 1);
    assert_true(fabs(weibull_cdf(&w, 2) - (1 - exp(-1))) < 1e-15);
    weibull_fit_high(&w, same, 0); /* nobody */
    assert_true(weibull_cdf(&w, 1e9) == 0);
}

static void draws_are_fair_and_repeat(void **unused)
{
    (void)unused;
    enum { OF = 40, TAKE = 13, TRIALS = 4000 };
    size_t a[TAKE], b[TAKE], hits[OF] = {0};
    double mean = 0, square = 0;
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        draw_sample(seed, OF, TAKE, a);
        draw_sample(seed, OF, TAKE, b);
        assert_memory_equal(a, b, sizeof a);
        for (int i = 0; i < TAKE; i++) {
            assert_true(a[i] < OF && (i == 0 || a[i] > a[i - 1]));
            hits[a[i]]++;
        }
    }
    for (int i = 0; i < OF; i++) /* five standard deviations of 1300 */
        assert_true(fabs((double)hits[i] - 1300) < 5 * sqrt(1300 * (1 - 13.0 / 40)));
    draw_sample(1, 5, 5, a);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(a[i], i);
    for (int i = 0; i < 100000; i++) {
        double x = draw_normal(&r);
        mean += x / 1e5;
        square += x * x / 1e5;
    }
    assert_true(fabs(mean) < 0.02 && fabs(square - 1) < 0.03);
}

static void class_sums_merge_and_average(void **unused)
{
    (void)unused;
    enum { C_ = 4, W_ = 70, N_ = 90 };
    static float x[N_ * W_];
    int32_t of[N_];
    double mean[C_ * W_];
    class_sums whole, part, rest;
    budget mem = {0};
    assert_int_equal(class_sums_new(&whole, C_, W_, &mem), 0);
    assert_int_equal(class_sums_new(&part, C_, W_, &mem), 0);
    assert_int_equal(class_sums_new(&rest, C_, W_, &mem), 0);
    for (int i = 0; i < N_ * W_; i++)
        x[i] = (float)(int)draw_below(&r, 64); /* sums are exact */
    for (int i = 0; i < N_; i++)
        of[i] = (int32_t)draw_below(&r, C_) - 1; /* class 3 never, -1 left out */
    class_sums_add(&whole, x, of, N_);
    class_sums_add(&part, x, of, 37);
    class_sums_add(&rest, x + 37 * W_, of + 37, N_ - 37);
    class_sums_merge(&part, &rest);
    assert_memory_equal(part.sum, whole.sum, C_ * W_ * sizeof(double));
    assert_memory_equal(part.count, whole.count, C_ * sizeof(size_t));
    assert_int_equal(class_sums_mean(&whole, mean), 1);
    for (int j = 0; j < W_; j++) {
        double sum = 0, n = 0;
        for (int i = 0; i < N_; i++)
            if (of[i] == 1) {
                sum += (double)x[i * W_ + j];
                n++;
            }
        assert_true(mean[W_ + j] == sum / n);
        assert_true(mean[3 * W_ + j] == 0);
    }
    class_sums_clear(&whole, &mem);
    class_sums_clear(&part, &mem);
    class_sums_clear(&rest, &mem);
    assert_int_equal(mem.used, 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void groups_are_read(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int file;
        size_t n, classes, first; /* groups, classes, size of the first; n 0: refused */
    } cases[] = {
        {"mos", 0, 8, 1000, 398},
        {"3+4+2", 0, 3, 9, 3},
        {"5", 0, 1, 5, 5},
        {"3+", 0, 0, 0, 0},
        {"3+0", 0, 0, 0, 0},
        {"+", 0, 0, 0, 0},
        {"0 1 1 0 2\n", 1, 3, 5, 2},          /* a group for each class */
        {"[398, 521,\n 9]", 1, 3, 928, 398},  /* sizes */
        {"2 2", 1, 2, 4, 2},                  /* sizes: no class has group 0 */
        {"a/b c.jpg 0 4\nx 1 0\nx 0 2\n", 1, 2, 6, 5},
        {"x 1 0\n", 1, 0, 0, 0}, /* group 0 has no class */
        {"0 -1 2", 1, 0, 0, 0},
        {"0.5 1", 1, 0, 0, 0},
        {"", 1, 0, 0, 0},
        {"words only\n", 1, 0, 0, 0},
        {"1e9 2", 1, 0, 0, 0},
    };
    char path[] = "/tmp/outpost-groups-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        class_groups g;
        size_t total = 0;
        err_clear();
        if (cases[i].file) write_file(path, cases[i].text);
        int rc = groups_read(&g, cases[i].file ? path : cases[i].text);
        if (cases[i].n == 0) {
            if (rc >= 0) fail_msg("case %zu '%s' is taken: %zu groups", i, cases[i].text, g.n);
            assert_true(err_text()[0] != '\0');
            continue;
        }
        if (rc != 0) fail_msg("case %zu: %s", i, err_text());
        assert_int_equal(g.n, cases[i].n);
        assert_int_equal(g.classes, cases[i].classes);
        assert_int_equal(g.size[0], cases[i].first);
        for (size_t k = 0; k < g.n; k++)
            total += g.size[k];
        assert_int_equal(total, g.classes);
        groups_clear(&g);
    }
    unlink(path);
    assert_true(groups_read(&(class_groups){0}, "/no/such/file") < 0);
    err_clear();
}

static void row_functions_agree(void **unused)
{
    (void)unused;
    enum { MOST = 1000 };
    static float w[4 * MOST], h[MOST], least[MOST];
    const rowmath *twins[] = {&rowmath_plain, &rowmath_avx2, &rowmath_avx512};
    double worst = 0;
    for (int trial = 0; trial < 200; trial++) {
        size_t n = 1 + draw_below(&r, MOST);
        double want = 0, first = 0, scale = trial % 3 ? 1 : 1e-3, top = -1e30;
        float dots[3][4];
        for (size_t i = 0; i < n; i++) {
            h[i] = (float)(draw_normal(&r) * (trial % 2 ? 30 : 1));
            least[i] = i % 7 == 0 ? -INFINITY : i % 5 == 0 ? INFINITY : value_of_kind(trial % 2);
            top = fmax(top, (double)h[i]);
        }
        for (size_t i = 0; i < 4 * n; i++)
            w[i] = value_of_kind(trial % 2);
        for (size_t i = 0; i < n; i++)
            want += exp(((double)h[i] - top) * scale);
        for (int k = 0; k < 3; k++) {
            if (!rowmath_usable(twins[k])) continue;
            double got = twins[k]->sum_exp(h, n, top, scale);
            if (k == 0) first = got;
            assert_true(got == first);
            worst = fmax(worst, fabs(got / want - 1));
            twins[k]->dots_above(n, w, n, h, least, dots[k]);
            assert_memory_equal(dots[k], dots[0], sizeof dots[0]);
        }
        for (size_t c = 0; c < 4; c++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < n; i++)
                if (w[c * n + i] > least[i]) {
                    sum += (double)w[c * n + i] * (double)h[i];
                    size += fabs((double)w[c * n + i] * (double)h[i]);
                }
            assert_true(fabs((double)dots[0][c] - sum) <= 1e-5 * size);
        }
    }
    print_message("# sum of exponentials: relative error %.1e of 1e-14 allowed\n", worst);
    assert_true(worst < 1e-14);
    h[0] = 0;
    h[1] = -800; /* below the smallest: nothing */
    assert_true(rowmath_plain.sum_exp(h, 2, 0, 1) == 1);
    h[1] = -1e30f;
    assert_true(rowmath_plain.sum_exp(h, 2, 0, 1) == 1);
}

/* Two classes, logits (a, 0): the cross entropy log(1 + exp(-+a/T)) has its optimum where the share of right
 * rows is sigmoid(a/T). */
static void temperature_has_a_closed_form(void **unused)
{
    (void)unused;
    enum { ROWS = 1000 };
    static float z[2 * ROWS];
    static int32_t label[ROWS];
    int held;
    double d, want = 3 / log(0.8 / 0.2), t, before, after;
    for (int i = 0; i < ROWS; i++) {
        z[2 * i] = 3;
        label[i] = i % 5 == 0;
    }
    t = temperature_converged(z, label, ROWS, 2, &held);
    assert_false(held);
    assert_true(fabs(t / want - 1) < 1e-12);
    before = temperature_loss(z, label, ROWS, 2, t * 1.001, &d);
    after = temperature_loss(z, label, ROWS, 2, t * 0.999, &d);
    assert_true(temperature_loss(z, label, ROWS, 2, t, &d) < fmin(before, after));
    /* the published one stops on the way */
    t = temperature_lbfgs(z, label, ROWS, 2, 1.5);
    assert_true(t > 1.5 && t < want);
    memset(label, 0, sizeof label); /* all right: no optimum */
    assert_true(temperature_converged(z, label, ROWS, 2, &held) == TEMPERATURE_LEAST && held);
    for (int i = 0; i < ROWS; i++)
        label[i] = 1;
    assert_true(temperature_converged(z, label, ROWS, 2, &held) == TEMPERATURE_MOST && held);
}

/* Every entry by searching the edges; the divergence of a histogram from itself without smoothing is nothing. */
static void densities_count_and_compare(void **unused)
{
    (void)unused;
    enum { MOST = 500 };
    static density d;
    float v[MOST];
    for (int trial = 0; trial < 200; trial++) {
        uint32_t count[DENSITY_BINS_MAX] = {0}, want[DENSITY_BINS_MAX] = {0};
        size_t n = 1 + draw_below(&r, MOST), bins = 2 + draw_below(&r, 120), total = 0;
        float least = -1 - (float)draw_below(&r, 3), most = trial % 9 == 0 ? least : 1.5f;
        density_open(&d, bins, least, most);
        for (size_t i = 0; i < n; i++)
            v[i] = i % 10 == 0 ? d.edge[draw_below(&r, bins + 1)] : value_of_kind(trial % 5);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < bins; k++)
                want[k] += v[i] >= d.edge[k] && v[i] < d.edge[k + 1];
        density_count(&d, v, n, count);
        assert_memory_equal(count, want, sizeof want);
        for (size_t k = 0; k < bins; k++) {
            total += count[k];
            d.mean[k] = (double)count[k] / (double)n;
        }
        assert_true(fabs(density_divergence(&d, count, (double)n, 1, 0.01)) < 1e-12);
        if (total > 0 && total < n * bins) {
            count[0] += 1 + (uint32_t)n;
            assert_true(density_divergence(&d, count, (double)n, 1, 0.01) > 0);
        }
    }
    /* three bins, a box of two: bin i takes i and i + 1, the end repeated */
    density_open(&d, 3, 0, 3);
    for (int k = 0; k < 3; k++)
        d.mean[k] = 1.0 / 3;
    uint32_t count[3] = {4, 0, 0};
    double q[3] = {0.5 + 0.01, 0.01, 0.01}, sum = q[0] + q[1] + q[2], want = 0;
    for (int k = 0; k < 3; k++)
        want += (1.0 / 3 - q[k] / sum) * log(1.0 / 3 / (q[k] / sum));
    assert_true(fabs(density_divergence(&d, count, 4, 2, 0.01) - want) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topk_is_what_sorting_gives),
        cmocka_unit_test(quantiles_are_what_sorting_gives),
        cmocka_unit_test(quantiles_of_products_are_exact),
        cmocka_unit_test(weibull_is_the_likeliest),
        cmocka_unit_test(draws_are_fair_and_repeat),
        cmocka_unit_test(class_sums_merge_and_average),
        cmocka_unit_test(groups_are_read),
        cmocka_unit_test(row_functions_agree),
        cmocka_unit_test(temperature_has_a_closed_form),
        cmocka_unit_test(densities_count_and_compare),
    };
    log_open("test_selection", LOG_ERROR);
    return cmocka_run_group_tests_name("selection", tests, NULL, NULL);
}
