/* Attention and performer on every instruction set against the reference in double (ref_tokens.c): odd
 * shapes, windows, shifts, slices of wider maps, bf16, large logits, NaN, and the same bits whatever the
 * batch. */
#include "common/err.h"
#include "extract/cpu/attention.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/performer.h"
#include "extract/ref_parts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed;

static float draw(void) /* -1 .. 1 */
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((double)(seed >> 40) / 8388608.0 - 1.0);
}

static void ok(int rc)
{
    if (rc < 0) fail_msg("%s", err_text());
}

typedef struct shape_case {
    int heads, d, h, w, window, shift;
    float size;  /* of q and k */
    int margin;  /* channels around the slices */
    int halo;
} shape_case;

enum { IMAGES = 2 };

typedef struct run { /* one case on one kernel */
    shape_case c;
    int is_bf16, m;      /* m > 0: performer with m features */
    size_t t, width;     /* tokens, channels of y */
    node v;
    plan_step s;
    view x, y;
    float *table;
    double *truth;       /* [IMAGES, width, t] */
    double *largest;     /* [IMAGES, width] |v| */
} run;

static float load(const view *v, size_t i)
{
    return v->is_bf16 ? bf16_to_float(((const bf16 *)v->p)[i]) : ((const float *)v->p)[i];
}

static void store(const view *v, size_t i, float f)
{
    if (v->is_bf16) ((bf16 *)v->p)[i] = bf16_from_float(f);
    else ((float *)v->p)[i] = f;
}

static size_t place(const run *r, const view *v, size_t i, size_t t, size_t c)
{
    return i * v->image + t / (size_t)r->c.w * v->row + t % (size_t)r->c.w * v->ld + c;
}

/* A map of IMAGES images full of a value that no result has. */
static view new_map(const run *r, int c)
{
    const shape_case *k = &r->c;
    view v = { .c = c, .h = k->h, .w = k->w, .halo = k->halo, .ld = (size_t)(c + 2 * k->margin),
               .is_bf16 = r->is_bf16 };
    size_t count, first;
    v.row = (size_t)(k->w + 2 * k->halo) * v.ld;
    v.image = (size_t)(k->h + 2 * k->halo) * v.row;
    count = IMAGES * v.image + 1;
    first = (size_t)k->halo * (v.row + v.ld) + (size_t)k->margin;
    v.p = malloc(count * view_bytes(&v));
    assert_non_null(v.p);
    for (size_t i = 0; i < count; i++)
        store(&v, i, -77.0f);
    v.p = (char *)v.p + first * view_bytes(&v);
    return v;
}

static void free_map(const run *r, view *v)
{
    size_t first = (size_t)r->c.halo * (v->row + v->ld) + (size_t)r->c.margin;
    free((char *)v->p - first * view_bytes(v));
}

static run new_run(shape_case c, int m, int is_bf16)
{
    run r = { .c = c, .is_bf16 = is_bf16, .m = m, .t = (size_t)(c.h * c.w),
              .width = (size_t)(c.heads * c.d) };
    size_t rows = (size_t)((2 * c.window - 1) * (2 * c.window - 1));
    r.s.w_count = m > 0 ? (size_t)m * r.width : c.window > 0 ? rows * (size_t)c.heads : 0;
    r.table = malloc((r.s.w_count + 1) * sizeof *r.table);
    for (size_t i = 0; i < r.s.w_count; i++)
        r.table[i] = m > 0 ? draw() * 2 : draw();
    r.v = (node){ .op = m > 0 ? OP_performer : OP_attention, .out = { (int)r.width, c.h, c.w },
                  .heads = c.heads, .scale = 1.0f / sqrtf((float)c.d), .window = c.window,
                  .shift = c.shift };
    r.s.name = "test";
    if (r.s.w_count > 0) r.s.w = r.table;
    r.x = new_map(&r, 3 * (int)r.width);
    r.y = new_map(&r, (int)r.width);
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t t = 0; t < r.t; t++)
            for (size_t k = 0; k < 3 * r.width; k++)
                store(&r.x, place(&r, &r.x, i, t, k), draw() * (k < 2 * r.width ? c.size : 1.0f));
    r.truth = malloc(IMAGES * r.width * r.t * sizeof *r.truth);
    r.largest = calloc(IMAGES * r.width, sizeof *r.largest);
    return r;
}

static void free_run(run *r)
{
    free_map(r, &r->x);
    free_map(r, &r->y);
    free(r->table);
    free(r->truth);
    free(r->largest);
}

/* The truth of what the map holds, rounding included. */
static void find_truth(run *r)
{
    double *x = malloc(3 * r->width * r->t * sizeof *x);
    for (size_t i = 0; i < IMAGES; i++) {
        double *y = r->truth + i * r->width * r->t;
        for (size_t c = 0; c < 3 * r->width; c++)
            for (size_t t = 0; t < r->t; t++)
                x[c * r->t + t] = (double)load(&r->x, place(r, &r->x, i, t, c));
        for (size_t c = 0; c < r->width; c++)
            for (size_t t = 0; t < r->t; t++)
                r->largest[i * r->width + c] =
                    fmax(r->largest[i * r->width + c], fabs(x[(2 * r->width + c) * r->t + t]));
        assert_int_equal(r->m > 0 ? ref_performer(&r->v, r->m, r->table, x, y)
                                  : ref_attention(&r->v, r->table, x, y), 0);
    }
    free(x);
}

static void forward(const run *r, int first, int n)
{
    view x = r->x, y = r->y;
    void *scratch;
    size_t bytes;
    attention *a = NULL;
    performer *p = NULL;
    plan_step s = r->s;
    s.v = &r->v;
    if (r->m > 0) ok(performer_new(&p, &s, &x, &y));
    else ok(attention_new(&a, &s, &x, &y));
    bytes = r->m > 0 ? performer_scratch(p) : attention_scratch(a);
    scratch = aligned_alloc(64, bytes);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes); /* NaN */
    x.p = (char *)x.p + (size_t)first * x.image * view_bytes(&x);
    y.p = (char *)y.p + (size_t)first * y.image * view_bytes(&y);
    if (r->m > 0) performer_run(p, &x, &y, scratch, n);
    else attention_run(a, &x, &y, scratch, n);
    free(scratch);
    attention_free(&a);
    performer_free(&p);
}

/* Errors are measured in the largest |v| of the channel, of which a result is a mean.  f32: 6e-7, and
 * 1e-7 per unit of the largest logit, whose own rounding softmax turns into a relative error; bf16: the
 * probabilities and the result are rounded to 2^-9 each. */
static double tolerance(const run *r)
{
    double logit = (double)(r->c.size * r->c.size) * sqrt(r->c.d);
    if (r->m > 0) logit = (double)r->c.size * r->c.d * (2.0 + (double)r->c.size);
    return (r->is_bf16 ? 6e-3 : 0) + 6e-7 + 1e-7 * logit;
}

static double compare(const run *r)
{
    double used = 0;
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t c = 0; c < r->width; c++)
            for (size_t t = 0; t < r->t; t++) {
                double right = r->truth[(i * r->width + c) * r->t + t];
                double got = (double)load(&r->y, place(r, &r->y, i, t, c));
                double share = fabs(got - right) / (tolerance(r) * r->largest[i * r->width + c]);
                if (isnan(right)) {
                    if (!isnan(got)) fail_msg("token %zu, channel %zu: %g, not NaN", t, c, got);
                    continue;
                }
                if (!(share <= 1))
                    fail_msg("%d heads of %d, %dx%d, window %d, shift %d, bf16 %d: token %zu, channel "
                             "%zu is %.9g, not %.9g",
                             r->c.heads, r->c.d, r->c.h, r->c.w, r->c.window, r->c.shift, r->is_bf16,
                             t, c, got, right);
                used = fmax(used, share);
            }
    return used;
}

/* Nothing but the result was written. */
static void check_around(const run *r)
{
    const view *y = &r->y;
    size_t first = (size_t)r->c.halo * (y->row + y->ld) + (size_t)r->c.margin;
    size_t right = 0, all = 0;
    view whole = *y;
    whole.p = (char *)y->p - first * view_bytes(y);
    for (size_t i = 0; i < IMAGES * y->image; i++)
        all += load(&whole, i) == -77.0f;
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t t = 0; t < r->t; t++)
            for (size_t c = 0; c < r->width; c++)
                right += load(y, place(r, y, i, t, c)) == -77.0f;
    assert_int_equal(right, 0);
    assert_int_equal(all, IMAGES * (y->image - r->t * r->width));
}

static const struct {
    const char *cpu;
    int is_bf16;
} kernels[] = { { "base", 0 }, { "avx2", 0 }, { "avx512", 0 }, { "avx512", 1 } };

enum { KERNELS = sizeof kernels / sizeof *kernels };

/* 0: this processor has no such kernel. */
static int use_kernel(size_t k)
{
    setenv("OUTPOST_CPU", kernels[k].cpu, 1);
    return !kernels[k].is_bf16 || conv_kernel_bf16() != NULL;
}

static void all_kernels(shape_case c, int m, double used[KERNELS])
{
    for (size_t k = 0; k < KERNELS; k++) {
        run r;
        if (!use_kernel(k)) continue;
        seed = (uint64_t)(c.d * 1000 + c.h * 10 + c.w + m);
        r = new_run(c, m, kernels[k].is_bf16);
        find_truth(&r);
        forward(&r, 0, IMAGES);
        used[k] = fmax(used[k], compare(&r));
        check_around(&r);
        free_run(&r);
    }
}

static void say_used(const char *what, const double used[KERNELS])
{
    print_message("# %s: base %.0f%%, avx2 %.0f%%, avx512 %.0f%%, bf16 %.0f%% of the tolerance used\n",
                  what, 100 * used[0], 100 * used[1], 100 * used[2], 100 * used[3]);
    assert_true(used[0] > 0);
}

static void all_tokens(void **state)
{
    static const shape_case cases[] = {
        { 1, 64, 1, 1, 0, 0, 1, 0, 0 },   { 3, 64, 2, 1, 0, 0, 1, 0, 0 },
        { 2, 8, 3, 5, 0, 0, 1, 3, 0 },    { 12, 5, 7, 7, 0, 0, 1, 2, 1 },
        { 1, 1, 4, 4, 0, 0, 1, 1, 0 },    { 3, 17, 29, 1, 0, 0, 2, 0, 0 },
        { 2, 33, 13, 10, 0, 0, 2, 5, 2 }, { 12, 64, 197, 1, 0, 0, 1, 0, 0 },
        { 2, 64, 577, 1, 0, 0, 3, 0, 0 }, { 1, 16, 1, 512, 0, 0, 1, 0, 0 },
    };
    double used[KERNELS] = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        all_kernels(cases[i], 0, used);
    say_used("all tokens", used);
}

static void many_tokens(void **state)
{
    double used[KERNELS] = { 0 };
    (void)state;
    all_kernels((shape_case){ 1, 8, 3137, 1, 0, 0, 1, 0, 0 }, 0, used);
    say_used("3137 tokens", used);
}

static void windows(void **state)
{
    static const shape_case cases[] = {
        { 4, 32, 14, 21, 7, 0, 1, 0, 0 }, { 3, 32, 21, 14, 7, 3, 1, 0, 1 },
        { 2, 32, 7, 7, 7, 0, 2, 3, 0 },   { 2, 32, 7, 7, 7, 3, 1, 0, 0 }, /* map = window */
        { 1, 6, 4, 4, 2, 1, 2, 1, 0 },    { 5, 3, 3, 9, 3, 2, 1, 0, 0 },
        { 2, 4, 3, 2, 1, 0, 1, 0, 0 },    { 2, 32, 24, 12, 12, 6, 1, 0, 0 },
    };
    double used[KERNELS] = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        all_kernels(cases[i], 0, used);
    say_used("windows", used);
}

static void performers(void **state)
{
    static const shape_case cases[] = {
        { 1, 64, 28, 28, 0, 0, 1, 0, 0 }, { 1, 64, 1, 1, 0, 0, 1, 2, 0 }, { 1, 5, 3, 7, 0, 0, 1, 1, 1 },
        { 1, 33, 17, 14, 0, 0, 0.5f, 0, 0 },
    };
    double used[KERNELS] = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int m = 3; m <= 32; m += 29)
            all_kernels(cases[i], m, used);
    say_used("performer", used);
}

/* Logits of +-1e4: one key wins, nothing overflows. */
static void large_logits(void **state)
{
    double used[KERNELS] = { 0 };
    (void)state;
    all_kernels((shape_case){ 2, 16, 40, 1, 0, 0, 50, 0, 0 }, 0, used);
    all_kernels((shape_case){ 2, 16, 8, 4, 4, 2, 50, 0, 0 }, 0, used);
    say_used("logits up to 1e4", used);
}

/* A NaN in a query, a key, a value, and an infinite key reach what they reach in the reference: the last one
 * spoils the queries that like it and is nothing to the others. */
static void nan_token(void **state)
{
    (void)state;
    for (size_t k = 0; k < KERNELS; k++)
        for (int part = 0; part < 4; part++) {
            run r;
            size_t spoilt = 0, count;
            if (!use_kernel(k)) continue;
            seed = 5;
            r = new_run((shape_case){ 2, 8, 6, 6, part == 2 ? 3 : 0, part == 2, 1, 0, 0 }, 0,
                        kernels[k].is_bf16);
            count = IMAGES * r.width * r.t;
            if (part == 3) store(&r.x, place(&r, &r.x, 1, 8, r.width + 1), INFINITY);
            else store(&r.x, place(&r, &r.x, 1, 8, (size_t)part * r.width + 1), NAN);
            find_truth(&r);
            forward(&r, 0, IMAGES);
            (void)compare(&r);
            for (size_t i = 0; i < count; i++)
                spoilt += isnan(r.truth[i]) != 0;
            assert_in_range(spoilt, 1, count / 4); /* half of the second image */
            free_run(&r);
        }
}

/* An image alone, in a batch, and with another neighbour: the same bits; so with 8 lanes and with 16. */
static void same_bits(void **state)
{
    static const shape_case cases[] = { { 3, 24, 13, 13, 0, 0, 1, 0, 0 }, { 2, 32, 14, 14, 7, 3, 1, 0, 0 } };
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (int m = 0; m <= 16; m += 16)
            for (size_t k = 0; k < KERNELS; k++) {
                run r;
                size_t bytes;
                void *before;
                if (!use_kernel(k)) continue;
                seed = 9;
                r = new_run(cases[i], m, kernels[k].is_bf16);
                bytes = IMAGES * r.y.image * view_bytes(&r.y);
                before = malloc(bytes);
                forward(&r, 0, IMAGES);
                memcpy(before, r.y.p, bytes);
                forward(&r, 1, 1);
                forward(&r, 0, 1);
                assert_memory_equal(before, r.y.p, bytes);
                if (strcmp(kernels[k].cpu, "avx2") == 0) {
                    setenv("OUTPOST_CPU", "avx512", 1);
                    forward(&r, 0, IMAGES);
                    assert_memory_equal(before, r.y.p, bytes);
                }
                free(before);
                free_run(&r);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_tokens),   cmocka_unit_test(many_tokens), cmocka_unit_test(windows),
        cmocka_unit_test(performers),   cmocka_unit_test(large_logits), cmocka_unit_test(nan_token),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
