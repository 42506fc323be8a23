/* The nearest of kept rows: every kernel that this processor has and the plain twin against distances in
 * long double, sorted by distance and index: shapes that do not fill panels, chunks and groups, exact ties, rows
 * that almost coincide, crowds of equal rows, large offsets, values whose squares f32 cannot hold. */
#include "common/err.h"
#include "score/neighbours.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 88172645463325252u;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0 - 0.5;
}

typedef struct pair {
    long double distance;
    size_t index;
} pair;

static int nearer(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

typedef struct problem {
    size_t kept, n, k;
    float *bank, *x;
    pair *truth; /* [n,kept] */
} problem;

static void make(problem *p, size_t kept, size_t n, size_t k, double offset)
{
    *p = (problem){.kept = kept, .n = n, .k = k};
    p->bank = malloc(kept * k * sizeof *p->bank);
    p->x = malloc(n * k * sizeof *p->x);
    p->truth = malloc(n * kept * sizeof *p->truth);
    assert_true(p->bank != NULL && p->x != NULL && p->truth != NULL);
    for (size_t i = 0; i < kept * k; i++)
        p->bank[i] = (float)(uniform() + offset);
    for (size_t i = 0; i < n * k; i++)
        p->x[i] = (float)(uniform() + offset);
}

static void solve(problem *p)
{
    for (size_t i = 0; i < p->n; i++) {
        pair *row = p->truth + i * p->kept;
        for (size_t j = 0; j < p->kept; j++) {
            row[j] = (pair){0, j};
            for (size_t q = 0; q < p->k; q++) {
                long double t = (long double)p->x[i * p->k + q] - (long double)p->bank[j * p->k + q];
                row[j].distance += t * t;
            }
        }
        qsort(row, p->kept, sizeof *row, nearer);
    }
}

static void clear(problem *p)
{
    free(p->bank);
    free(p->x);
    free(p->truth);
}

static near_bank *keep(const problem *p, budget *mem, size_t block)
{
    near_bank *b = NULL;
    if (near_bank_new(&b, mem, p->kept, p->k) < 0) fail_msg("%s", err_text());
    for (size_t at = 0; at < p->kept; at += block)
        assert_int_equal(
            near_bank_add(b, p->bank + at * p->k, p->kept - at < block ? p->kept - at : block), 0);
    return b;
}

static double worst;

/* All kernels: the same bits, distances exact to 1e-13 (f64 sums of up to 1000 terms), the very indices. */
static void hold(problem *p, const size_t *rank, size_t ranks)
{
    const near_kernel *kernels[] = {NULL, &near_plain, &near_avx2, &near_avx512};
    budget mem = {0};
    near_bank *b = keep(p, &mem, 37);
    double *first = malloc(p->n * ranks * sizeof *first), *got = malloc(p->n * ranks * sizeof *got);
    int64_t *index = malloc(p->n * ranks * sizeof *index);
    assert_true(first != NULL && got != NULL && index != NULL);
    solve(p);
    for (size_t v = 0; v < 4; v++) {
        if (kernels[v] != NULL && !near_usable(kernels[v])) continue;
        if (near_search(b, kernels[v], rank, ranks, p->x, p->n, got, index) < 0) fail_msg("%s", err_text());
        if (v == 0) memcpy(first, got, p->n * ranks * sizeof *got);
        assert_memory_equal(first, got, p->n * ranks * sizeof *got);
        for (size_t i = 0; i < p->n * ranks; i++) {
            const pair *want = &p->truth[i / ranks * p->kept + rank[i % ranks]];
            double off = want->distance > 0 ? fabs((double)((long double)got[i] / want->distance - 1)) : got[i];
            if (!(off <= 1e-13) || index[i] != (int64_t)want->index)
                fail_msg("%s: row %zu, rank %zu: %.17g of %lld, not %.17Lg of %zu",
                         kernels[v] != NULL ? kernels[v]->name : "twin", i / ranks, rank[i % ranks], got[i],
                         (long long)index[i], want->distance, want->index);
            worst = fmax(worst, off / 1e-13);
        }
    }
    free(first);
    free(got);
    free(index);
    near_bank_drop(&b);
    assert_int_equal(mem.used, 0);
}

static void shapes(void **state)
{
    static const size_t kept[] = {1, 2, 47, 48, 49, 97, 500}, width[] = {1, 3, 256, 257, 700};
    (void)state;
    for (size_t a = 0; a < sizeof kept / sizeof *kept; a++)
        for (size_t b = 0; b < sizeof width / sizeof *width; b++) {
            size_t rank[] = {0, kept[a] / 3, kept[a] - 1};
            problem p;
            make(&p, kept[a], 3 + 10 * (a + b) % 23, width[b], 0.3 * (double)(a % 2));
            hold(&p, rank, 3);
            clear(&p);
        }
}

/* More rows than a group, more kept rows than candidates have room; one rank and all ranks. */
static void many(void **state)
{
    size_t rank[200];
    problem p;
    (void)state;
    for (size_t r = 0; r < 200; r++)
        rank[r] = r;
    make(&p, 5000, 260, 24, 0.5);
    hold(&p, rank + 49, 1);
    hold(&p, rank, 200);
    clear(&p);
}

/* Equal distances go by index: rows that are there twice, values on a grid. */
static void ties(void **state)
{
    const size_t rank[] = {0, 1, 2, 9, 10, 11, 99, 2999};
    problem p;
    (void)state;
    make(&p, 3000, 40, 5, 0);
    for (size_t i = 0; i < p.kept * p.k; i++)
        p.bank[i] = (float)((int)(p.bank[i] * 4)); /* -1, 0, 1 */
    for (size_t i = 0; i < p.n * p.k; i++)
        p.x[i] = i % 2 ? (float)((int)(p.x[i] * 4)) : p.x[i];
    hold(&p, rank, 8);
    for (size_t i = 0; i < p.kept * p.k; i++)
        p.bank[i] = 0.75f; /* a crowd: one row, all over */
    hold(&p, rank, 8);
    clear(&p);
}

/* The expansion would lose every digit: kept rows within 1e-4 of each row, features with a large offset. */
static void near_duplicates(void **state)
{
    const size_t rank[] = {0, 1, 7, 20};
    problem p;
    (void)state;
    make(&p, 700, 30, 300, 1);
    for (size_t j = 0; j < p.kept; j++)
        for (size_t q = 0; q < p.k; q++)
            p.bank[j * p.k + q] = p.x[j % p.n * p.k + q] + (float)(1e-5 * (double)(j / p.n) * uniform());
    hold(&p, rank, 4);
    clear(&p);
    make(&p, 700, 30, 300, 1000);
    hold(&p, rank, 4);
    clear(&p);
}

/* Beyond f32, and below it. */
static void extremes(void **state)
{
    static const double sizes[] = {1e30, 1e18, 1e-20, 1e-30, 0};
    const size_t rank[] = {0, 5, 60};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        problem p;
        make(&p, 61, 5, 40, 0);
        for (size_t i = 0; i < p.kept * p.k; i++)
            p.bank[i] *= (float)sizes[s];
        for (size_t i = 0; i < p.n * p.k; i++)
            p.x[i] *= (float)sizes[s];
        hold(&p, rank, 3);
        clear(&p);
    }
}

static void threads_change_nothing(void **state)
{
    const size_t rank[] = {3, 49};
    int before = omp_get_max_threads();
    double one[2 * 300], other[2 * 300];
    budget mem = {0};
    near_bank *b;
    problem p;
    (void)state;
    make(&p, 900, 300, 33, 0);
    omp_set_num_threads(1);
    b = keep(&p, &mem, 900);
    assert_int_equal(near_search(b, near_best(), rank, 2, p.x, 300, one, NULL), 0);
    near_bank_drop(&b);
    omp_set_num_threads(5);
    b = keep(&p, &mem, 7);
    assert_int_equal(near_search(b, near_best(), rank, 2, p.x, 300, other, NULL), 0);
    assert_memory_equal(one, other, sizeof one);
    for (size_t i = 0; i < 300; i++) { /* a row alone */
        assert_int_equal(near_search(b, near_best(), rank, 2, p.x + i * p.k, 1, other, NULL), 0);
        assert_memory_equal(one + 2 * i, other, 2 * sizeof *one);
    }
    near_bank_drop(&b);
    omp_set_num_threads(before);
    clear(&p);
}

static void memory_is_counted(void **state)
{
    budget mem = {.limit = 100000};
    near_bank *b = NULL;
    const size_t rank = 0;
    double got;
    float x[10] = {0};
    (void)state;
    assert_int_equal(near_bank_new(&b, &mem, 3000, 10), ERR_USAGE);
    assert_null(b);
    assert_int_equal(mem.used, 0);
    err_clear();
    assert_int_equal(near_bank_new(&b, &mem, 2000, 10), 0);
    assert_int_equal(near_search(b, near_best(), &rank, 1, x, 1, &got, NULL), ERR_INTERNAL); /* not filled */
    err_clear();
    for (int i = 0; i < 2000; i++)
        assert_int_equal(near_bank_add(b, x, 1), 0);
    assert_int_equal(near_bank_add(b, x, 1), ERR_INTERNAL);
    err_clear();
    assert_int_equal(near_search(b, near_best(), &rank, 1, x, 1, &got, NULL), ERR_USAGE); /* no room to search */
    err_clear();
    near_bank_drop(&b);
    assert_int_equal(mem.used, 0);
}

static int say(void **state)
{
    (void)state;
    print_message("# distances: tolerance 1e-13 relative, %.0f %% of it used; best kernel %s\n", 100 * worst,
                  near_best()->name);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),          cmocka_unit_test(many),     cmocka_unit_test(ties),
        cmocka_unit_test(near_duplicates), cmocka_unit_test(extremes), cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(memory_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, say);
}
