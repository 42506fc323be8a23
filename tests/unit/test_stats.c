/* The statistics against their plain twins. */
#include "common/err.h"
#include "score/linalg.h"
#include "score/stats/gentropy.h"
#include "score/stats/quantile.h"
#include "score/stats/rowmath.h"
#include "score/stats/rows.h"
#include "score/stats/scatter.h"
#include "tests/memory_source.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

/* ---- quantile -------------------------------------------------------------------------------- */

static void check_quantile(float *v, size_t n, size_t d, double q)
{
    budget mem = {0};
    memory_rows rows = {v, NULL, 0};
    source s = memory_source("train", &rows, n, d, 0, NULL);
    quantile_counts *counts = calloc(1, sizeof *counts);
    double once, twice, plain;
    assert_int_equal(quantile_features(&s, q, NULL, &mem, &once), 0);
    quantile_count(counts, v, n * d);
    assert_int_equal(quantile_features(&s, q, counts, &mem, &twice), 0);
    float *sorted = malloc(n * d * sizeof *sorted);
    memcpy(sorted, v, n * d * sizeof *sorted);
    plain = quantile_by_sort(sorted, n * d, q);
    if (once != plain || twice != plain)
        fail_msg("%zu x %zu, q %g: %.17g and %.17g, sorted %.17g", n, d, q, once, twice, plain);
    assert_int_equal(mem.used, 0);
    free(sorted);
    free(counts);
}

static void quantiles_are_those_of_the_sorted_values(void **unused)
{
    (void)unused;
    static const double q[] = {0, 0.01, 0.5, 0.6, 0.95, 0.99, 0.9995, 1};
    size_t n = 1237, d = 61;
    float *v = malloc(n * d * sizeof *v);
    for (int kind = 0; kind < 6; kind++) {
        for (size_t i = 0; i < n * d; i++) {
            double u = uniform();
            v[i] = kind == 0   ? (float)u                                /* both signs */
                   : kind == 1 ? (float)(u > 0 ? u : 0)                  /* rectified */
                   : kind == 2 ? (float)floor(8 * u)                     /* many ties */
                   : kind == 3 ? (float)ldexp(u, (int)(200 * uniform())) /* all magnitudes */
                   : kind == 4 ? (u > 0 ? -0.0f : 0.0f)                  /* both zeros */
                               : (float)(u * 1e-40);                     /* denormal */
        }
        for (size_t k = 0; k < sizeof q / sizeof q[0]; k++)
            check_quantile(v, n, d, q[k]);
    }
    for (size_t few = 1; few <= 4; few++)
        for (size_t k = 0; k < sizeof q / sizeof q[0]; k++)
            check_quantile(v, few, 1, q[k]);
    free(v);
}

static void quantile_by_hand(void **unused)
{
    (void)unused;
    float v[] = {4, 1, 3, 2};
    assert_true(quantile_by_sort(v, 4, 0.25) == 1.75);
    assert_true(quantile_by_sort(v, 4, 0.5) == 2.5);
    assert_true(quantile_by_sort(v, 4, 1) == 4);
}

/* ---- rows of logits -------------------------------------------------------------------------- */

static void exp_is_accurate(void **unused)
{
    (void)unused;
    double worst = 0, worst_denormal = 0;
    for (int i = 0; i < 400000; i++) {
        float x = (float)(-104 + 192.0 * i / 400000), y;
        rowmath_plain.exp(&x, 1, &y);
        double e = exp((double)x);
        if (e > 1.2e-38 && e < 3e38) worst = fmax(worst, fabs((double)y / e - 1));
        else if (e < 1.2e-38) worst_denormal = fmax(worst_denormal, fabs((double)y - e) / 1.4e-45);
    }
    print_message("# exp: relative error %.2e of 1.5e-7 allowed; denormals %.2f of 1.2 units\n",
                  worst, worst_denormal);
    assert_true(worst <= 1.5e-7);
    assert_true(worst_denormal <= 1.2);
    float far = -200, out;
    rowmath_plain.exp(&far, 1, &out);
    assert_true(out == 0);
}

static void softmax_is_accurate(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 2, 15, 16, 17, 100, 1000};
    double worst = 0, sums = 0;
    for (int round = 0; round < 200; round++) {
        size_t c = sizes[round % 7];
        float z[1000], p[1000];
        double total = 0, plogp = 0;
        row_sums s;
        for (size_t i = 0; i < c; i++)
            z[i] = (float)(uniform() * (round % 3 == 0 ? 200 : 20));
        rowmath_plain.softmax(z, c, p, &s);
        for (size_t i = 0; i < c; i++)
            total += exp((double)z[i] - (double)s.max);
        for (size_t i = 0; i < c; i++) {
            double t = (double)z[i] - (double)s.max, e = exp(t) / total;
            if (e > 1.2e-38) worst = fmax(worst, fabs((double)p[i] / e - 1));
            plogp += e * (t - log(total));
            assert_true(z[i] <= z[s.argmax] && (i >= s.argmax || z[i] < z[s.argmax]));
        }
        sums = fmax(sums, fabs(s.lse - ((double)s.max + log(total))));
        sums = fmax(sums, fabs(s.plogp - plogp));
    }
    print_message(
        "# softmax: relative error %.2e of 8e-6 allowed (f32 difference of logits up to 100); "
        "sums %.2e of 1e-6\n",
        worst, sums);
    assert_true(worst <= 8e-6);
    assert_true(sums <= 1e-6);
}

static void vector_twins_give_the_same_bytes(void **unused)
{
    (void)unused;
    const rowmath *twins[] = {&rowmath_avx2, &rowmath_avx512};
    for (int k = 0; k < 2; k++) {
        if (!rowmath_usable(twins[k])) {
            print_message("# %s: not on this processor\n", twins[k]->name);
            continue;
        }
        for (size_t c = 1; c < 300; c++) {
            float z[300], p[300], q[300];
            row_sums s = {0}, t = {0};
            for (size_t i = 0; i < c; i++)
                z[i] = (float)(uniform() * 220);
            rowmath_plain.softmax(z, c, p, &s);
            twins[k]->softmax(z, c, q, &t);
            assert_memory_equal(p, q, c * sizeof *p);
            assert_true(s.max == t.max && s.argmax == t.argmax && s.lse == t.lse &&
                        s.plogp == t.plogp);
            rowmath_plain.axpy(c, 0.37f, z, p);
            twins[k]->axpy(c, 0.37f, z, q);
            assert_memory_equal(p, q, c * sizeof *p);
            double lost[2], kept[2];
            rowmath_plain.clip_sums(z, c, 20, &lost[0], &kept[0]);
            twins[k]->clip_sums(z, c, 20, &lost[1], &kept[1]);
            assert_true(lost[0] == lost[1] && kept[0] == kept[1]);
            rowmath_plain.exp(z, c, p);
            twins[k]->exp(z, c, q);
            assert_memory_equal(p, q, c * sizeof *p);
        }
    }
}

static int descending(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

static void gen_takes_the_largest(void **unused)
{
    (void)unused;
    double worst = 0;
    for (int round = 0; round < 300; round++) {
        size_t c = 1 + (size_t)(round * 7 % 400), m = 1 + (size_t)(round * 13 % 120);
        float p[400], sorted[400], out;
        double sum = 0;
        for (size_t i = 0; i < c; i++)
            p[i] = round % 4 == 0 ? (float)floor(8 * (uniform() + 0.5)) / 8 /* ties, zeros */
                                  : (float)exp(-90 * (uniform() + 0.5));
        memcpy(sorted, p, c * sizeof *p);
        qsort(sorted, c, sizeof *p, descending);
        for (size_t i = 0; i < m && i < c; i++)
            sum += pow((double)sorted[i] * (1 - (double)sorted[i]), 0.1);
        assert_int_equal(gentropy(p, 1, c, 0.1, m, &out), 0);
        if (sum > 0) worst = fmax(worst, fabs(-(double)out / sum - 1));
        else assert_true(out == 0);
    }
    print_message("# gen: relative error %.2e of 2e-7 allowed\n", worst);
    assert_true(worst <= 2e-7);
}

/* Many settings of one block give each the bits that it gets alone. */
static void gen_of_many_settings(void **unused)
{
    enum { ROWS = 40, WIDE = 130, USES = 49 };
    static const double gammas[] = { 0, 0.01, 0.1, 0.5, 1, 2, 10 };
    static const size_t ms[] = { 1, 7, 16, 50, 129, 130, 1000 };
    static float p[ROWS * WIDE], many[USES][ROWS], one[ROWS];
    gentropy_use v[USES];
    (void)unused;
    for (size_t i = 0; i < ROWS * WIDE; i++)
        p[i] = i % 3 == 0 ? (float)floor(6 * (uniform() + 0.5)) / 6 : (float)exp(-95 * (uniform() + 0.5));
    for (size_t u = 0; u < USES; u++)
        v[u] = (gentropy_use){ gammas[u / 7], ms[u % 7], many[u] };
    assert_int_equal(gentropy_many(p, ROWS, WIDE, v, USES), 0);
    for (size_t u = 0; u < USES; u++) {
        assert_int_equal(gentropy(p, ROWS, WIDE, v[u].gamma, v[u].m, one), 0);
        assert_memory_equal(one, many[u], sizeof one);
    }
    assert_true(many[0][0] == -1 && many[6][0] == -WIDE); /* gamma 0: how many there are */
}

/* Several quantiles from one pass are those from a pass each, and numpy's. */
static void quantiles_together(void **unused)
{
    enum { ROWS = 700, WIDE = 9, Q = 60 };
    static float x[ROWS * WIDE], sorted[ROWS * WIDE];
    double q[Q], many[Q], one;
    memory_rows rows = { x, NULL, 0 };
    source s = memory_source("train", &rows, ROWS, WIDE, 0, NULL);
    budget mem = { 0 };
    (void)unused;
    for (size_t i = 0; i < ROWS * WIDE; i++)
        x[i] = i % 2 ? 0.0f : (float)(100 * uniform());
    for (size_t i = 0; i < Q; i++)
        q[i] = (double)i / (Q - 1);
    assert_int_equal(quantile_features_many(&s, q, Q, NULL, &mem, many), 0);
    for (size_t i = 0; i < Q; i++) {
        assert_int_equal(quantile_features(&s, q[i], NULL, &mem, &one), 0);
        memcpy(sorted, x, sizeof x);
        assert_true(one == many[i] && one == quantile_by_sort(sorted, ROWS * WIDE, q[i]));
    }
    assert_int_equal(mem.used, 0);
}

/* ---- moments --------------------------------------------------------------------------------- */

enum { N = 1400, D = 37, K = 5 };

static float *make_rows(int64_t *labels, double offset)
{
    float *x = malloc(N * D * sizeof *x);
    for (int i = 0; i < N; i++) {
        labels[i] = (i * 7) % K == 3 ? 1000000007 : (i * 7) % K;
        for (int j = 0; j < D; j++)
            x[i * D + j] = (float)(offset + uniform() * (1 + j) + 0.3 * (double)((i * 7) % K));
    }
    return x;
}

static void sum_rows(scatter *s, const float *x, size_t from, size_t to, const int32_t *of)
{
    for (size_t i = from; i < to; i += TRAIN_ROWS)
        scatter_add(s, x + i * D, to - i < TRAIN_ROWS ? to - i : TRAIN_ROWS,
                    of == NULL ? NULL : of + i);
}

/* Largest error of the lower triangle, relative to the roots of the diagonal. */
static double worst_of(const double *got, const long double *want)
{
    double worst = 0;
    for (int i = 0; i < D; i++)
        for (int j = 0; j <= i; j++)
            worst = fmax(worst, fabs((double)((long double)got[i * D + j] - want[i * D + j])) /
                                    sqrt((double)(want[i * D + i] * want[j * D + j])));
    return worst;
}

static void direct(const float *x, const long double *about /* [K,D] */, const int32_t *of,
                   long double *out)
{
    for (int i = 0; i < D; i++)
        for (int j = 0; j <= i; j++) {
            long double sum = 0;
            for (int r = 0; r < N; r++) {
                const long double *m = about + (of != NULL ? of[r] : 0) * D;
                sum += ((long double)x[r * D + i] - m[i]) * ((long double)x[r * D + j] - m[j]);
            }
            out[i * D + j] = sum / N;
        }
}

static void moments_follow_from_one_pass(void **unused)
{
    (void)unused;
    static int64_t labels[N];
    static long double want[D * D], about[K * D];
    double got[D * D], u[D], mean[D], worst = 0;
    budget mem = {0};
    for (int round = 0; round < 3; round++) {
        float *x = make_rows(labels, round == 0 ? 0 : round == 1 ? 50 : -1000);
        class_index ci;
        scatter s;
        assert_int_equal(class_index_new(&ci, labels, N, &mem), 0);
        assert_int_equal(ci.k, K);
        assert_int_equal(ci.label[K - 1], 1000000007);
        assert_int_equal(scatter_init(&s, D, K, 1, &mem), 0);
        sum_rows(&s, x, 0, N, ci.of_row);
        for (int j = 0; j < D; j++) {
            u[j] = uniform();
            about[j] = (long double)u[j];
        }
        direct(x, about, NULL, want);
        scatter_about(&s, u, got);
        worst = fmax(worst, worst_of(got, want));
        memset(about, 0, sizeof about);
        for (int r = 0; r < N; r++)
            for (int j = 0; j < D; j++)
                about[ci.of_row[r] * D + j] += (long double)x[r * D + j] / ci.count[ci.of_row[r]];
        direct(x, about, ci.of_row, want);
        scatter_within(&s, ci.count, got);
        worst = fmax(worst, worst_of(got, want));
        scatter_mean(&s, mean);
        assert_int_equal(s.n, N);
        scatter_clear(&s);
        class_index_clear(&ci, &mem);
        free(x);
    }
    print_message("# second moments: relative error %.1e of 1e-12 allowed\n", worst);
    assert_true(worst <= 1e-12);
    assert_int_equal(mem.used, 0);
}

static void parts_merge(void **unused)
{
    (void)unused;
    static int64_t labels[N];
    float *x = make_rows(labels, 3);
    budget mem = {0};
    class_index ci;
    scatter whole, part[3];
    double a[D * D], b[D * D], u[D] = {0}, worst = 0;
    size_t cut[4] = {0, 500, 501, N};
    assert_int_equal(class_index_new(&ci, labels, N, &mem), 0);
    assert_int_equal(scatter_init(&whole, D, K, 1, &mem), 0);
    sum_rows(&whole, x, 0, N, ci.of_row);
    for (int p = 0; p < 3; p++) {
        size_t count[K] = {0};
        assert_int_equal(scatter_init(&part[p], D, K, 1, &mem), 0);
        sum_rows(&part[p], x, cut[p], cut[p + 1], ci.of_row);
        for (size_t i = cut[p]; i < cut[p + 1]; i++)
            count[ci.of_row[i]]++;
        if (p > 0) scatter_merge(&part[0], &part[p], count);
    }
    assert_int_equal(part[0].n, N);
    scatter_about(&whole, u, a);
    scatter_about(&part[0], u, b);
    for (int i = 0; i < D; i++)
        for (int j = 0; j <= i; j++)
            worst = fmax(worst, fabs(a[i * D + j] / b[i * D + j] - 1));
    scatter_within(&whole, ci.count, a);
    scatter_within(&part[0], ci.count, b);
    for (int i = 0; i < D; i++)
        for (int j = 0; j <= i; j++)
            worst =
                fmax(worst, fabs(a[i * D + j] - b[i * D + j]) / sqrt(a[i * D + i] * a[j * D + j]));
    assert_true(worst <= 1e-12);
    for (int p = 0; p < 3; p++)
        scatter_clear(&part[p]);
    scatter_clear(&whole);
    class_index_clear(&ci, &mem);
    free(x);
}

static void budget_holds(void **unused)
{
    (void)unused;
    budget mem = {.limit = 1000};
    char *a = NULL, *b = NULL;
    assert_int_equal(budget_new(&mem, &a, 500, 1, "first"), 0);
    err_clear();
    assert_int_equal(budget_new(&mem, &b, 500, 1, "second"), ERR_USAGE);
    assert_non_null(strstr(err_text(), "second"));
    assert_null(b);
    err_clear();
    assert_int_equal(budget_new(&mem, &b, SIZE_MAX / 2, 4, "huge"), ERR_ENV);
    err_clear();
    budget_free(&mem, &a);
    assert_null(a);
    assert_int_equal(mem.used, 0);
    assert_true(mem.peak >= 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_the_sorted_values),
        cmocka_unit_test(quantile_by_hand),
        cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(softmax_is_accurate),
        cmocka_unit_test(vector_twins_give_the_same_bytes),
        cmocka_unit_test(gen_takes_the_largest),
        cmocka_unit_test(gen_of_many_settings),
        cmocka_unit_test(quantiles_together),
        cmocka_unit_test(moments_follow_from_one_pass),
        cmocka_unit_test(parts_merge),
        cmocka_unit_test(budget_holds),
    };
    linalg_open();
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
