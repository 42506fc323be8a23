/* The two backends of score/linalg_backend.h held together, the CUDA one over a device in host memory
 * (tests/mock): products, norms, minima, moments and eigenvectors of rows that fill one chunk, several, and
 * parts of one; and what happens when any call of CUDA, cuBLAS or cuSOLVER fails. */
#include "common/err.h"
#include "extract/cuda/errors.h"
#include "extract/plugin.h"
#include "score/linalg_backend.h"
#include "score/stats/budget.h"
#include "tests/mock/cuda.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

linalg_plugin_entry outpost_cuda_linalg;

static const linalg_plugin *plugin;
static int said_code;
static char said[2048];

static int hear(int code, const char *text)
{
    said_code = code;
    snprintf(said, sizeof said, "%s", text);
    return code;
}

static const cuda_host host = { .fail = hear };

static int setup(void **state)
{
    (void)state;
    mock_reset();
    said[0] = '\0';
    said_code = 0;
    err_clear();
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("NVIDIA_TF32_OVERRIDE");
    plugin = outpost_cuda_linalg(LINALG_ABI, &host);
    return plugin == NULL;
}

static uint64_t seed = 88172645463325252u;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0 - 0.5;
}

enum { MOST = 2500, D_MOST = 24 };
enum { C = 7, R = 4, RANKS = 3, KEPT = 200, SEARCHED = 40, CROWD = 60, CROWDED = 70 };

typedef struct data {
    size_t n, d;
    float x[MOST * D_MOST], p[MOST * C];
    float w[C * D_MOST], origin[D_MOST], mean[C * R], a[R * D_MOST], logq[C * C];
    double square[C], logq_exact[C * C], origins[3 * D_MOST];
    int32_t of[MOST];
} data;

static void make(data *t, size_t n, size_t d)
{
    memset(t, 0, sizeof *t);
    t->n = n;
    t->d = d;
    for (size_t i = 0; i < n * d; i++)
        t->x[i] = (float)(uniform() + 3);
    for (size_t i = 0; i < C * d; i++)
        t->w[i] = (float)uniform();
    for (size_t i = 0; i < R * d; i++)
        t->a[i] = (float)uniform();
    for (size_t i = 0; i < d; i++)
        t->origin[i] = (float)(uniform() + 3);
    for (size_t i = 0; i < 3 * d; i++)
        t->origins[i] = uniform() + 3;
    for (size_t k = 0; k < C; k++) {
        for (size_t j = 0; j < R; j++) {
            t->mean[k * R + j] = (float)uniform();
            t->square[k] += (double)t->mean[k * R + j] * (double)t->mean[k * R + j];
        }
        for (size_t j = 0; j < C; j++) { /* one of the templates has a zero */
            t->logq_exact[k * C + j] = k == 2 && j == 3 ? -INFINITY : log(0.01 + fabs(uniform()));
            t->logq[k * C + j] = k == 2 && j == 3 ? -1e4f : (float)t->logq_exact[k * C + j];
        }
    }
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        t->of[i] = (int32_t)(i % 4) - 1;
        for (size_t j = 0; j < C; j++)
            sum += t->p[i * C + j] = (float)fabs(uniform()) + 1e-3f;
        for (size_t j = 0; j < C; j++)
            t->p[i * C + j] /= sum;
        if (i % 3 == 0) t->p[i * C + 3] = 0;
    }
}

typedef struct results {
    float logits[MOST * C], norm[MOST];
    double nearest[MOST], entropy[MOST], distance[SEARCHED * RANKS], crowd[CROWDED];
    int64_t index[SEARCHED * RANKS], crowd_index[CROWDED];
    double second[D_MOST * D_MOST], grouped[D_MOST * D_MOST], vectors[D_MOST * D_MOST], values[D_MOST];
} results;

/* Everything the table can do; block: rows of a block of moments. */
static int compute(linalg *la, const data *t, size_t block, results *r)
{
    int rc = 0;
    const linalg_ops *o = la->ops;
    size_t d = t->d;
    linalg_matrix *w = NULL, *a = NULL, *origin = NULL, *mean = NULL, *square = NULL, *q = NULL;
    linalg_bank *bank = NULL;
    size_t kept = t->n < KEPT ? t->n : KEPT, searched = t->n < SEARCHED ? t->n : SEARCHED, one = 3;
    const size_t rank[RANKS] = { 0, kept / 5, kept / 2 };
    memset(r, 0, sizeof *r);
    TRY(o->keep(la, &w, &(linalg_values){ .n = C, .k = d, .f32 = t->w, .f32_only = 1 }));
    TRY(o->keep(la, &a, &(linalg_values){ .n = R, .k = d, .f32 = t->a }));
    TRY(o->keep(la, &origin, &(linalg_values){ .n = 1, .k = d, .f32 = t->origin }));
    TRY(o->keep(la, &mean, &(linalg_values){ .n = C, .k = R, .f32 = t->mean }));
    TRY(o->keep(la, &square, &(linalg_values){ .n = 1, .k = C, .f64 = t->square }));
    TRY(o->keep(la, &q, &(linalg_values){ .n = C, .k = C, .f32 = t->logq, .f64 = t->logq_exact }));
    TRY(o->product(la, w, t->x, t->n, r->logits));
    TRY(o->norms(la, a, R - 1, origin, t->x, t->n, r->norm));
    TRY(o->nearest(la, a, origin, mean, square, t->x, t->n, r->nearest));
    TRY(o->cross_entropy(la, q, t->p, t->n, r->entropy));
    TRY(o->bank_new(la, &bank, kept, d));
    TRY(o->bank_add(la, bank, t->x, kept / 3));
    TRY(o->bank_add(la, bank, t->x + kept / 3 * d, kept - kept / 3));
    TRY(o->neighbours(la, bank, rank, RANKS, t->x, searched, r->distance, r->index));
    o->bank_drop(la, &bank);
    TRY(o->bank_new(la, &bank, CROWD, d)); /* equal rows, more than the first search has room for */
    for (int i = 0; i < CROWD; i++)
        TRY(o->bank_add(la, bank, t->x, 1));
    TRY(o->neighbours(la, bank, &one, 1, t->x, t->n < CROWDED ? t->n : CROWDED, r->crowd, r->crowd_index));
    TRY(o->moments_begin(la, d, t->origins, 1, r->second));
    for (size_t i = 0; i < t->n; i += block)
        TRY(o->moments_add(la, t->x + i * d, NULL, t->n - i < block ? t->n - i : block));
    TRY(o->moments_end(la));
    TRY(o->moments_begin(la, d, t->origins, 3, r->grouped));
    for (size_t i = 0; i < t->n; i += block)
        TRY(o->moments_add(la, t->x + i * d, t->of + i, t->n - i < block ? t->n - i : block));
    TRY(o->moments_end(la));
    memcpy(r->vectors, r->second, sizeof r->vectors);
    TRY(o->eigh(la, d, r->vectors, r->values, d / 3, d - d / 3));
done:
    o->drop(la, &w);
    o->drop(la, &a);
    o->drop(la, &origin);
    o->drop(la, &mean);
    o->drop(la, &square);
    o->drop(la, &q);
    o->bank_drop(la, &bank);
    return rc;
}

static void ok(int rc)
{
    if (rc < 0) fail_msg("%s", said[0] != '\0' ? said : err_text());
}

static double worst;

static void near(double got, double want, double room, const char *what)
{
    if (isinf(want)) {
        assert_true(isinf(got) && got > 0);
        return;
    }
    if (!(fabs(got - want) <= room)) fail_msg("%s: %.12g, not %.12g", what, got, want);
    worst = fmax(worst, fabs(got - want) / room);
}

/* Tolerances: f32 products of d <= 24 terms of size 4 on the one side, f64 ones on the other. */
static void agree(const data *t, const results *a, const results *b)
{
    size_t d = t->d, first = d / 3;
    for (size_t i = 0; i < t->n * C; i++)
        near((double)a->logits[i], (double)b->logits[i], 2e-5, "logit");
    for (size_t i = 0; i < t->n; i++) {
        near((double)a->norm[i], (double)b->norm[i], 2e-6, "norm");
        near(a->nearest[i], b->nearest[i], 5e-6, "distance");
        near(a->entropy[i], b->entropy[i], 1e-12, "cross entropy");
    }
    for (size_t k = 0; k < SEARCHED * RANKS; k++) {
        near(a->distance[k], b->distance[k], 1e-14 * b->distance[k], "distance of a rank");
        assert_int_equal(a->index[k], b->index[k]);
    }
    for (size_t k = 0; k < CROWDED; k++) {
        near(a->crowd[k], b->crowd[k], 1e-14 * b->crowd[k], "distance to a crowd");
        assert_int_equal(a->crowd_index[k], k < t->n ? 3 : 0);
        assert_int_equal(b->crowd_index[k], k < t->n ? 3 : 0);
    }
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j <= i; j++) {
            near(a->second[i * d + j], b->second[i * d + j], 1e-11 * (double)t->n, "moment");
            near(a->grouped[i * d + j], b->grouped[i * d + j], 1e-11 * (double)t->n, "grouped moment");
        }
        near(a->values[i], b->values[i], 1e-10 * (double)t->n, "eigenvalue");
    }
    /* Vectors of equal eigenvalues may be any basis: they are held to what defines them. */
    for (size_t v = 0; v + first < d; v++)
        for (size_t i = 0; i < d; i++) {
            double sum = 0, length = 0;
            const double *u = a->vectors + v * d;
            for (size_t j = 0; j < d; j++) {
                sum += (j <= i ? a->second[i * d + j] : a->second[j * d + i]) * u[j];
                length += u[j] * u[j];
            }
            near(sum, a->values[first + v] * u[i], 1e-10 * (double)t->n, "A v");
            near(length, 1, 1e-12, "length of v");
        }
}

static data *t;
static results *on_cpu, *on_device, *again;

static void both_backends_agree(void **state)
{
    static const size_t shape[][2] = { { 1, 1 }, { 3, 5 }, { 1023, 6 }, { 1024, 8 }, { 1025, 24 },
                                       { 2500, 17 } };
    (void)state;
    worst = 0;
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        budget mem = { 0 };
        linalg *cpu = NULL, *device = NULL;
        char text[100];
        make(t, shape[s][0], shape[s][1]);
        ok(linalg_cpu_open(&cpu, &mem));
        ok(plugin->open(&device, 0, (size_t)64 << 20));
        device->ops->describe(device, text, sizeof text);
        assert_string_equal(text, "cuda:0 (mock device in host memory)");
        ok(compute(cpu, t, 512, on_cpu));
        ok(compute(device, t, 512, on_device));
        agree(t, on_device, on_cpu);
        assert_true(t->n < 4 || isfinite(on_cpu->entropy[1]));
        /* the same again: the same bits, whatever lay in the buffers before */
        ok(compute(device, t, 512, again));
        assert_memory_equal(again, on_device, sizeof *again);
        device->ops->close(&device);
        cpu->ops->close(&cpu);
        assert_int_equal(mem.used, 0);
        assert_int_equal(mock_live(), 0);
        assert_int_equal(mock_bytes(), 0);
    }
    print_message("# backends agree, %.0f%% of the tolerances used\n", 100 * worst);
}

/* What products cannot tell apart: values that tie, crowds of equal rows beyond the room of the first search, rows
 * that almost coincide far from the origin; and more kept rows than a tile, more rows than a chunk. */
static void searches_agree(void **state)
{
    static const struct {
        size_t kept, n, d;
        int kind; /* 0: any, 1: a grid, 2: all alike, 3: near each other at 1000 */
    } cases[] = { { 9000, 1100, 4, 0 }, { 5000, 70, 3, 1 }, { 900, 130, 5, 2 }, { 700, 90, 24, 3 } };
    const size_t rank[] = { 0, 9, 49, 499 };
    (void)state;
    for (size_t s = 0; s < sizeof cases / sizeof *cases; s++) {
        size_t kept = cases[s].kept, n = cases[s].n, d = cases[s].d;
        float *x = malloc((kept + n) * d * sizeof *x);
        double *distance = malloc(2 * n * 4 * sizeof *distance);
        int64_t *index = malloc(2 * n * 4 * sizeof *index);
        budget mem = { 0 };
        assert_true(x != NULL && distance != NULL && index != NULL);
        for (size_t i = 0; i < (kept + n) * d; i++)
            x[i] = cases[s].kind == 0   ? (float)uniform()
                   : cases[s].kind == 1 ? (float)(int)(4 * uniform())
                   : cases[s].kind == 2 ? (i < kept * d ? 0.25f : (float)uniform())
                                        : 1000 + 1e-3f * (float)uniform();
        for (int on_gpu = 0; on_gpu < 2; on_gpu++) {
            linalg *la = NULL;
            linalg_bank *bank = NULL;
            if (on_gpu) ok(plugin->open(&la, 0, 0));
            else ok(linalg_cpu_open(&la, &mem));
            ok(la->ops->bank_new(la, &bank, kept, d));
            ok(la->ops->bank_add(la, bank, x, kept));
            ok(la->ops->neighbours(la, bank, rank, 4, x + kept * d, n, distance + (size_t)on_gpu * n * 4,
                                   index + (size_t)on_gpu * n * 4));
            la->ops->bank_drop(la, &bank);
            la->ops->close(&la);
        }
        for (size_t i = 0; i < 4 * n; i++) {
            near(distance[4 * n + i], distance[i], 1e-14 * distance[i], "distance of a rank");
            assert_int_equal(index[4 * n + i], index[i]);
        }
        free(x);
        free(distance);
        free(index);
        assert_int_equal(mock_live(), 0);
        assert_int_equal(mock_bytes(), 0);
    }
}

/* A row's bits depend neither on its place nor on its company. */
static void a_row_alone_has_the_same_bits(void **state)
{
    linalg *la = NULL;
    linalg_matrix *w = NULL, *a = NULL, *origin = NULL;
    float alone[C], norm;
    (void)state;
    make(t, 1500, 17);
    ok(plugin->open(&la, 0, 0));
    ok(compute(la, t, 512, on_device));
    ok(la->ops->keep(la, &w, &(linalg_values){ .n = C, .k = 17, .f32 = t->w, .f32_only = 1 }));
    ok(la->ops->keep(la, &a, &(linalg_values){ .n = R, .k = 17, .f32 = t->a }));
    ok(la->ops->keep(la, &origin, &(linalg_values){ .n = 1, .k = 17, .f32 = t->origin }));
    for (size_t i = 0; i < t->n; i += 499) {
        ok(la->ops->product(la, w, t->x + i * 17, 1, alone));
        ok(la->ops->norms(la, a, R - 1, origin, t->x + i * 17, 1, &norm));
        assert_memory_equal(alone, on_device->logits + i * C, sizeof alone);
        assert_memory_equal(&norm, on_device->norm + i, sizeof norm);
    }
    la->ops->close(&la); /* takes what is still kept */
    free(w);
    free(a);
    free(origin);
    assert_int_equal(mock_live(), 0);
}

static void far_rows_and_impossible_classes_are_infinite(void **state)
{
    linalg *la = NULL;
    linalg_matrix *a = NULL, *origin = NULL, *mean = NULL, *square = NULL, *q = NULL;
    const float one = 1, zero = 0, x[3] = { 1e30f, 2, -3e38f };
    const double nothing = 0, logq[2] = { -INFINITY, 0 };
    const float p[6] = { 1e-45f, 1, 0, 1, 1, 0 };
    double least[3];
    (void)state;
    ok(plugin->open(&la, 0, 0));
    ok(la->ops->keep(la, &a, &(linalg_values){ .n = 1, .k = 1, .f32 = &one }));
    ok(la->ops->keep(la, &origin, &(linalg_values){ .n = 1, .k = 1, .f32 = &zero }));
    ok(la->ops->keep(la, &mean, &(linalg_values){ .n = 1, .k = 1, .f32 = &zero }));
    ok(la->ops->keep(la, &square, &(linalg_values){ .n = 1, .k = 1, .f64 = &nothing }));
    ok(la->ops->keep(la, &q, &(linalg_values){ .n = 1, .k = 2, .f64 = logq }));
    ok(la->ops->nearest(la, a, origin, mean, square, x, 3, least));
    assert_true(isinf(least[0]) && least[1] == 4 && isinf(least[2]));
    ok(la->ops->cross_entropy(la, q, p, 3, least));
    assert_true(isinf(least[0]) && least[1] == 0 && isinf(least[2]));
    la->ops->drop(la, &a);
    la->ops->drop(la, &origin);
    la->ops->drop(la, &mean);
    la->ops->drop(la, &square);
    la->ops->drop(la, &q);
    la->ops->close(&la);
    assert_int_equal(mock_live(), 0);
}

static void memory_is_bounded(void **state)
{
    linalg *la = NULL;
    (void)state;
    make(t, 1100, 24);
    ok(plugin->open(&la, 0, 100 << 10)); /* one chunk of rows is 96 KiB */
    assert_int_equal(compute(la, t, 512, on_device), ERR_USAGE);
    assert_non_null(strstr(said, "more than --memory allows; up to here "));
    assert_true(mock_bytes() < 100 << 10);
    la->ops->close(&la);
    assert_int_equal(mock_live(), 0);
    setup(NULL);
    mock.memory = 300 << 10; /* the device itself has no more */
    ok(plugin->open(&la, 0, 0));
    assert_int_equal(compute(la, t, 512, on_device), ERR_ENV);
    assert_non_null(strstr(said, "out of GPU memory: "));
    la->ops->close(&la);
    assert_int_equal(mock_live(), 0);
}

/* ---- failures ---------------------------------------------------------------------------------- */

static const int statuses[4][8] = {
    [LIB_CUDA] = { 1, 2, 100, 209, 214, 700, 719, 999 },
    [LIB_CUBLAS] = { 1, 3, 7, 8, 13, 14, 15, 99 },
    [LIB_CUDNN] = { 1001, 4000 },
    [LIB_CUSOLVER] = { 1, 2, 3, 4, 6, 7, 9, 99 },
};

static int whole_run(results *r)
{
    int rc = 0;
    linalg *la = NULL;
    TRY(plugin->open(&la, 0, (size_t)64 << 20));
    TRY(compute(la, t, 1024, r));
done:
    if (la != NULL) la->ops->close(&la);
    return rc;
}

static void every_call_failing_once_and_for_good(void **state)
{
    unsigned calls[MOCK_CALLS], runs = 0, failed = 0;
    (void)state;
    make(t, 1030, 3); /* both lanes */
    ok(whole_run(on_device));
    for (int c = 0; c < MOCK_CALLS; c++)
        calls[c] = mock_count(c);
    for (int c = 0; c < MOCK_CALLS; c++)
        for (unsigned nth = 1; nth <= calls[c]; nth += nth < 12 ? 1 : 7)
            for (int s = 0; s < 8 && statuses[mock_libraries[c]][s] != 0; s += nth == 1 ? 1 : 5)
                for (int lost = 0; lost < 2; lost++) {
                    int rc, refused;
                    setup(NULL);
                    mock.fail_call = c;
                    mock.fail_at = nth;
                    mock.fail_status = statuses[mock_libraries[c]][s];
                    mock.lost = lost;
                    rc = whole_run(again);
                    refused = cuda_fault_of(mock_libraries[c], mock.fail_status) == FAULT_REFUSED &&
                              c != MOCK_device_count;
                    if (rc == 0) assert_memory_equal(again, on_device, sizeof *again);
                    else {
                        assert_int_equal(rc, refused ? ERR_INTERNAL : ERR_ENV);
                        assert_int_equal(said_code, rc);
                        assert_true(strlen(said) > 20);
                        assert_null(strpbrk(said, "\n\r\t"));
                        failed++;
                    }
                    assert_int_equal(mock_live(), 0);
                    assert_int_equal(mock_bytes(), 0);
                    runs++;
                }
    print_message("# %u runs with one failing call, %u of them failed as they must\n", runs, failed);
    assert_true(runs > 500 && failed > runs / 2);
    for (int c = MOCK_blas_exact; c < MOCK_CALLS; c++)
        assert_true(calls[c] > 0); /* none of this part's calls was left out */
}

static void emulated_doubles_are_refused(void **state)
{
    linalg *la = NULL;
    (void)state;
    setenv("CUBLAS_EMULATE_DOUBLE_PRECISION", "1", 1);
    assert_int_equal(plugin->open(&la, 0, 0), ERR_ENV);
    unsetenv("CUBLAS_EMULATE_DOUBLE_PRECISION");
    assert_null(la);
    assert_string_equal(said, "CUBLAS_EMULATE_DOUBLE_PRECISION=1 changes results unseen; unset it");
    assert_int_equal(mock_live(), 0);
}

static void another_abi_is_refused(void **state)
{
    (void)state;
    assert_null(outpost_cuda_linalg(LINALG_ABI + 1, &host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_backends_agree, setup),
        cmocka_unit_test_setup(searches_agree, setup),
        cmocka_unit_test_setup(a_row_alone_has_the_same_bits, setup),
        cmocka_unit_test_setup(far_rows_and_impossible_classes_are_infinite, setup),
        cmocka_unit_test_setup(memory_is_bounded, setup),
        cmocka_unit_test_setup(every_call_failing_once_and_for_good, setup),
        cmocka_unit_test_setup(emulated_doubles_are_refused, setup),
        cmocka_unit_test_setup(another_abi_is_refused, setup),
    };
    omp_set_num_threads(1); /* small shapes, many runs */
    t = malloc(sizeof *t);
    on_cpu = malloc(sizeof *on_cpu);
    on_device = malloc(sizeof *on_device);
    again = malloc(sizeof *again);
    if (t == NULL || on_cpu == NULL || on_device == NULL || again == NULL) return 1;
    int failed = cmocka_run_group_tests_name("linear algebra, cuda", tests, NULL, NULL);
    free(t);
    free(on_cpu);
    free(on_device);
    free(again);
    return failed;
}
