/* Products, eigenvectors, factorisations against plain loops and against what defines them. */
#include "common/err.h"
#include "score/linalg.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

static float *floats(size_t n)
{
    float *v = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)uniform();
    return v;
}

static double *doubles(size_t n)
{
    double *v = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = uniform();
    return v;
}

/* 1e-5 absolute: k <= 700 products below 1/4, f32 sums */
static void gemm_is_the_plain_product(void **unused)
{
    (void)unused;
    static const size_t shape[][3] = {{1, 1, 1},       {3, 5, 7},    {128, 256, 64}, {129, 257, 65},
                                      {300, 513, 700}, {1, 600, 33}, {200, 1, 33}};
    double worst = 0;
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        size_t m = shape[s][0], n = shape[s][1], k = shape[s][2];
        float *a = floats(m * k), *b = floats(n * k), *c = floats(m * n),
              *c0 = malloc(m * n * sizeof *c);
        memcpy(c0, c, m * n * sizeof *c);
        linalg_gemm_abt(m, n, k, a, k, b, k, 1, c, n);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = (double)c0[i * n + j];
                for (size_t t = 0; t < k; t++)
                    sum += (double)a[i * k + t] * (double)b[j * k + t];
                worst = fmax(worst, fabs(sum - (double)c[i * n + j]));
            }
        free(a);
        free(b);
        free(c);
        free(c0);
    }
    print_message("# gemm f32: %.1e of 1e-5 allowed\n", worst);
    assert_true(worst <= 1e-5);
}

static void lower_product_skips_only_zeros(void **unused)
{
    (void)unused;
    size_t m = 131, n = 531;
    float *x = floats(m * n), *l = floats(n * n), *y = malloc(m * n * sizeof *y),
          *z = malloc(m * n * sizeof *z);
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            l[i * n + j] = 0;
    linalg_gemm_lower(m, n, x, l, y);
    linalg_gemm_abt(m, n, n, x, n, l, n, 0, z, n);
    for (size_t i = 0; i < m * n; i++)
        worst = fmax(worst, fabs((double)(y[i] - z[i])));
    assert_true(worst <= 1e-5);
    free(x);
    free(l);
    free(y);
    free(z);
}

static void syrk_is_the_plain_sum(void **unused)
{
    (void)unused;
    size_t n = 77, d = 531;
    double *x = doubles(n * d), *c = calloc(d * d, sizeof *c), worst = 0;
    linalg_syrk(n, d, 1, x, c);
    linalg_syrk(n, d, -0.5, x, c);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t t = 0; t < n; t++)
                sum += 0.5 * x[t * d + i] * x[t * d + j];
            worst = fmax(worst, fabs(sum - c[i * d + j]));
        }
    assert_true(worst <= 1e-13);
    for (size_t i = 0; i < d; i++)
        for (size_t j = (i / 256 + 1) * 256; j < d; j++)
            assert_true(c[i * d + j] == 0); /* above the diagonal tiles nothing is written */
    free(x);
    free(c);
}

static void same_bytes_for_any_threads(void **unused)
{
    (void)unused;
    size_t m = LINALG_TILE_ROWS + 44, n = 700, k = 333;
    float *a = floats(m * k), *b = floats(n * k), *one = malloc(m * n * sizeof *one),
          *many = malloc(m * n * sizeof *many);
    double *x = doubles(m * k), *s1 = calloc(k * k, sizeof *s1), *s7 = calloc(k * k, sizeof *s7);
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    linalg_gemm_abt(m, n, k, a, k, b, k, 0, one, n);
    linalg_syrk(m, k, 1, x, s1);
    omp_set_num_threads(7);
    linalg_gemm_abt(m, n, k, a, k, b, k, 0, many, n);
    linalg_syrk(m, k, 1, x, s7);
    omp_set_num_threads(before);
    assert_memory_equal(one, many, m * n * sizeof *one);
    assert_memory_equal(s1, s7, k * k * sizeof *s1);
    /* rows cut at a multiple of the tile */
    linalg_gemm_abt(LINALG_TILE_ROWS, n, k, a, k, b, k, 0, many, n);
    linalg_gemm_abt(m - LINALG_TILE_ROWS, n, k, a + LINALG_TILE_ROWS * k, k, b, k, 0,
                    many + LINALG_TILE_ROWS * n, n);
    assert_memory_equal(one, many, m * n * sizeof *one);
    free(a);
    free(b);
    free(one);
    free(many);
    free(x);
    free(s1);
    free(s7);
}

/* a = x' x + shift on the diagonal, full storage */
static double *symmetric(size_t n, size_t rank, double shift)
{
    double *x = doubles(rank * n), *a = calloc(n * n, sizeof *a);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            for (size_t t = 0; t < rank; t++)
                a[i * n + j] += x[t * n + i] * x[t * n + j];
        a[i * n + i] += shift;
    }
    free(x);
    return a;
}

static void eigenvectors_satisfy_their_equation(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 2, 3, 40, 131};
    for (size_t s = 0; s < 5; s++) {
        size_t n = sizes[s], first = n / 3, take = n - first;
        double *a = symmetric(n, n + 3, 0), *v = malloc(n * n * sizeof *v),
               *w = malloc(n * sizeof *w);
        double *scratch = malloc(linalg_eigh_scratch(n) * sizeof *scratch), worst = 0, angle = 0;
        memcpy(v, a, n * n * sizeof *v);
        assert_int_equal(linalg_eigh(n, v, w, first, take, scratch), 0);
        for (size_t i = 0; i < take; i++) {
            for (size_t j = 0; j < n; j++) {
                double sum = 0;
                for (size_t t = 0; t < n; t++)
                    sum += a[j * n + t] * v[i * n + t];
                worst = fmax(worst, fabs(sum - w[first + i] * v[i * n + j]));
            }
            for (size_t k = 0; k <= i; k++) {
                double dot = 0;
                for (size_t t = 0; t < n; t++)
                    dot += v[i * n + t] * v[k * n + t];
                angle = fmax(angle, fabs(dot - (i == k)));
            }
        }
        for (size_t i = 1; i < n; i++)
            assert_true(w[i] >= w[i - 1]);
        assert_true(worst <= 1e-13 * (double)n * fmax(1, w[n - 1]));
        assert_true(angle <= 1e-13 * (double)n);
        free(a);
        free(v);
        free(w);
        free(scratch);
    }
}

static void cholesky_knows_its_condition(void **unused)
{
    (void)unused;
    size_t n = 60;
    double *scratch = malloc(4 * n * sizeof *scratch), rcond;
    double *a = symmetric(n, n + 5, 0.1), *l = malloc(n * n * sizeof *l), worst = 0;
    double *b = doubles(n), *x = malloc(n * sizeof *x);
    memcpy(l, a, n * n * sizeof *l);
    assert_int_equal(linalg_cholesky(n, l, &rcond, scratch), 0);
    assert_true(rcond > 1e-4 && rcond < 1);
    memcpy(x, b, n * sizeof *x);
    linalg_cholesky_solve(n, l, x);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += a[i * n + j] * x[j];
        worst = fmax(worst, fabs(sum - b[i]));
    }
    assert_true(worst <= 1e-11);
    assert_int_equal(linalg_invert_lower(n, l), 0);
    for (size_t i = 0; i < n; i++) { /* || l^-1 b || ^2 = b' x */
        double sum = 0;
        for (size_t j = 0; j <= i; j++)
            sum += l[i * n + j] * b[j];
        worst = (i == 0 ? 0 : worst) + sum * sum;
    }
    double dot = 0;
    for (size_t i = 0; i < n; i++)
        dot += b[i] * x[i];
    assert_true(fabs(worst / dot - 1) <= 1e-11);
    free(a);
    a = symmetric(n, n / 2, 0); /* singular */
    a[n * n - 1] -= 1;
    assert_int_equal(linalg_cholesky(n, a, &rcond, scratch), 0);
    assert_true(rcond == 0);
    free(a);
    free(l);
    free(b);
    free(x);
    free(scratch);
}

/* x = pinv(w) b: w' (w x - b) = 0, and x has no part outside the row space (x = w' y). */
static void check_pinv(size_t c, size_t d, size_t rank)
{
    float *w = floats(c * d), *b = floats(c);
    double *x = malloc(d * sizeof *x), *r = malloc(c * sizeof *r), worst = 0;
    size_t kept;
    for (size_t i = rank; i < c; i++) { /* dependent rows; sums of two, with f32 rounding */
        for (size_t j = 0; j < d; j++)
            w[i * d + j] = w[(i % rank) * d + j] - w[((i + 1) % rank) * d + j];
    }
    assert_int_equal(linalg_pinv_solve(c, d, w, b, x, &kept), 0);
    assert_int_equal(kept, rank < d ? rank : d);
    for (size_t i = 0; i < c; i++) {
        r[i] = -(double)b[i];
        for (size_t j = 0; j < d; j++)
            r[i] += (double)w[i * d + j] * x[j];
    }
    for (size_t j = 0; j < d; j++) {
        double sum = 0;
        for (size_t i = 0; i < c; i++)
            sum += (double)w[i * d + j] * r[i];
        worst = fmax(worst, fabs(sum));
    }
    /* rank < c: the cut leaves what f32 rounding put into the dropped directions */
    if (!(worst <= (rank < c && rank < d ? 1e-5 : 1e-10)))
        fail_msg("pinv %zu x %zu rank %zu: %.2e", c, d, rank, worst);
    free(w);
    free(b);
    free(x);
    free(r);
}

static void pinv_solves_least_squares(void **unused)
{
    (void)unused;
    check_pinv(3, 4, 3);
    check_pinv(20, 64, 20);
    check_pinv(130, 64, 130);
    check_pinv(64, 64, 64);
    check_pinv(20, 64, 19);
    check_pinv(40, 30, 17);
    check_pinv(1, 5, 1);
}

static void pinv_of_zero_is_zero(void **unused)
{
    (void)unused;
    float w[6] = {0}, b[2] = {1, 2};
    double x[3] = {9, 9, 9};
    size_t rank = 9;
    assert_int_equal(linalg_pinv_solve(2, 3, w, b, x, &rank), 0);
    assert_int_equal(rank, 0);
    assert_true(x[0] == 0 && x[1] == 0 && x[2] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_is_the_plain_product),
        cmocka_unit_test(lower_product_skips_only_zeros),
        cmocka_unit_test(syrk_is_the_plain_sum),
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(eigenvectors_satisfy_their_equation),
        cmocka_unit_test(cholesky_knows_its_condition),
        cmocka_unit_test(pinv_solves_least_squares),
        cmocka_unit_test(pinv_of_zero_is_zero),
    };
    linalg_open();
    print_message("# kernels %s\n", linalg_kernels());
    return cmocka_run_group_tests_name("linalg", tests, NULL, NULL);
}
