/* The CPU twins of kernels/ against PyTorch (tests/golden/kernels.h) and against closed forms. */
#include "kernels/table.h"

#include "tests/golden/kernels.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))
enum { MOST = 1024 };

static uint32_t bits(float v)
{
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    return b;
}

static const float *floats(const uint32_t *golden, size_t count, float room[MOST])
{
    assert_true(count <= MOST);
    memcpy(room, golden, count * sizeof *room);
    return room;
}

/* Largest |got - want| over atol + rtol |want|; non-finite values must be the same ones.  With both
 * tolerances 0 the bits must agree, NaN with any NaN. */
static void same(const char *what, const float *got, const uint32_t *golden, size_t count, double rtol,
                 double atol)
{
    float want[MOST];
    double used = 0;
    floats(golden, count, want);
    for (size_t i = 0; i < count; i++) {
        double room = atol + rtol * fabs((double)want[i]), off = fabs((double)got[i] - (double)want[i]);
        int right = isnan(want[i])                     ? isnan(got[i])
                    : isinf(want[i]) || room == 0.0    ? bits(got[i]) == bits(want[i])
                                                       : off <= room;
        if (!right) fail_msg("%s: [%zu] is %.9g, not %.9g", what, i, (double)got[i], (double)want[i]);
        if (isfinite(want[i]) && room > 0.0 && off / room > used) used = off / room;
    }
    if (rtol > 0.0 || atol > 0.0)
        print_message("# %s: %.0f%% of the tolerance %g relative + %g used\n", what, 100 * used, rtol, atol);
}

/* Checked, run, and written nowhere beyond `count` floats. */
static void run(int kernel, op_args a, float *y, size_t count)
{
    const float guard = -12345.0f;
    const char *problem;
    a.y = y;
    assert_true(count < MOST);
    y[count] = guard;
    problem = kernel_problem(kernel, &a);
    if (problem != NULL) fail_msg("%s: %s", kernel_names[kernel], problem);
    assert_int_equal(kernels_cpu[kernel](&a), 0);
    assert_true(y[count] == guard);
}

#define IN(name) floats(golden_##name, LENGTH(golden_##name), (float[MOST]){ 0 })
#define RUN(kernel, args, name, rtol, atol)                                                        \
    do {                                                                                           \
        run(KERNEL_##kernel, args, y, LENGTH(golden_##name));                                      \
        same(#name, y, golden_##name, LENGTH(golden_##name), rtol, atol);                          \
    } while (0)

static const op_args whole = { .n = 2, .c = 3, .h = 7, .w = 5 };

static op_args with(const float *x0, const float *x1, const float *x2, unsigned flags)
{
    op_args a = whole;
    a.x[0] = x0;
    a.x[1] = x1;
    a.x[2] = x2;
    a.flags = flags;
    return a;
}

static void normalise(void **state)
{
    static const float mean[3] = { 0.485f, 0.456f, 0.406f }, std[3] = { 0.229f, 0.224f, 0.225f };
    float y[MOST];
    unsigned char all[256];
    op_args a = { .x = { mean, std }, .u8 = golden_bytes, .n = 2, .c = 3, .h = 4, .w = 3 };
    op_args grey = { .x = { &(float){ 0.5f }, &(float){ 0.5f } }, .u8 = all, .n = 1, .c = 1, .h = 16,
                     .w = 16 };
    (void)state;
    RUN(normalise_fwd, a, normalise, 0, 0);
    a.flags = KF_NCHW;
    RUN(normalise_fwd, a, normalise_nchw, 0, 0);
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    run(KERNEL_normalise_fwd, grey, y, 256);
    assert_true(y[0] == -1.0f && y[255] == 1.0f);
    /* A division by 255, not a product with 1/255: those differ for 126 bytes. */
    size_t differ = 0;
    grey.x[0] = &(float){ 0.0f };
    grey.x[1] = &(float){ 1.0f };
    run(KERNEL_normalise_fwd, grey, y, 256);
    for (int i = 0; i < 256; i++) {
        float product = (float)i * (1.0f / 255.0f);
        assert_true(fabs((double)y[i] * 255.0 - i) <= 255.0 * FLT_EPSILON / 2);
        differ += bits(y[i]) != bits(product);
    }
    assert_int_equal(differ, 126);
}

static void elementwise(void **state)
{
    const float *x = IN(x), *odd = IN(odd), *z = IN(z), *bn = IN(bn);
    float y[MOST], scale[3], shift[3];
    (void)state;
    RUN(relu_fwd, with(odd, NULL, NULL, 0), relu, 0, 0);
    RUN(relu6_fwd, with(odd, NULL, NULL, 0), relu6, 0, 0);
    RUN(add_fwd, with(odd, z, NULL, 0), add, 0, 0);
    RUN(add_fwd, with(odd, z, NULL, KF_RELU), add_relu, 0, 0);
    for (int c = 0; c < 3; c++) {
        double s = (double)bn[c] / sqrt((double)bn[9 + c] + 1e-5);
        scale[c] = (float)s;
        shift[c] = (float)((double)bn[3 + c] - (double)bn[6 + c] * s);
    }
    RUN(scale_shift_fwd, with(x, scale, shift, 0), batch_norm, 4e-7, 1e-6);
    RUN(scale_shift_fwd, with(x, scale, shift, KF_RELU), batch_norm_relu, 4e-7, 1e-6);
}

static void in_place(void **state)
{
    const float *z = IN(z), ones[3] = { 1, 1, 1 }, twos[3] = { 2, 2, 2 };
    float y[MOST];
    (void)state;
    memcpy(y, golden_odd, sizeof golden_odd);
    RUN(relu_fwd, with(y, NULL, NULL, 0), relu, 0, 0);
    memcpy(y, golden_odd, sizeof golden_odd);
    RUN(add_fwd, with(y, z, NULL, 0), add, 0, 0);
    memcpy(y, golden_rows, sizeof golden_rows);
    run(KERNEL_softmax_fwd, (op_args){ .x = { y }, .n = 6, .c = 11, .h = 1, .w = 1 }, y, 66);
    same("softmax in place", y, golden_softmax, 66, 3e-7, 0);
    y[0] = 3.0f;
    run(KERNEL_scale_shift_fwd, (op_args){ .x = { y, twos, ones }, .n = 1, .c = 1, .h = 1, .w = 1 }, y, 1);
    assert_true(y[0] == 7.0f);
}

static op_args pool(const float *x, int kernel, int stride, int pad, unsigned flags)
{
    op_args a = with(x, NULL, NULL, flags);
    int ceil = (flags & KF_CEIL) != 0;
    a.kernel = kernel;
    a.stride = stride;
    a.pad = pad;
    a.oh = op_pooled(a.h, kernel, stride, pad, ceil);
    a.ow = op_pooled(a.w, kernel, stride, pad, ceil);
    return a;
}

static void pools(void **state)
{
    const float *x = IN(x), *odd = IN(odd);
    const unsigned count = KF_COUNT_PAD, ceil = KF_CEIL;
    float y[MOST];
    (void)state;
    RUN(maxpool_fwd, pool(odd, 3, 2, 1, 0), maxpool_3210, 0, 0);
    RUN(maxpool_fwd, pool(odd, 2, 2, 0, 0), maxpool_2200, 0, 0);
    RUN(maxpool_fwd, pool(odd, 3, 2, 0, ceil), maxpool_3201, 0, 0);
    RUN(maxpool_fwd, pool(odd, 2, 2, 1, ceil), maxpool_2211, 0, 0);
    RUN(maxpool_fwd, pool(odd, 3, 1, 1, 0), maxpool_3110, 0, 0);
    RUN(avgpool_fwd, pool(x, 2, 2, 0, 0), avgpool_22000, 4e-7, 4e-7);
    RUN(avgpool_fwd, pool(x, 3, 2, 1, count), avgpool_32101, 4e-7, 4e-7);
    RUN(avgpool_fwd, pool(x, 3, 2, 1, 0), avgpool_32100, 4e-7, 4e-7);
    RUN(avgpool_fwd, pool(x, 2, 2, 0, ceil), avgpool_22010, 4e-7, 4e-7);
    RUN(avgpool_fwd, pool(x, 3, 2, 1, ceil | count), avgpool_32111, 4e-7, 4e-7);
    RUN(avgpool_fwd, pool(x, 2, 2, 1, ceil | count), avgpool_22111, 4e-7, 4e-7);
    RUN(gap_fwd, with(x, NULL, NULL, 0), gap, 4e-7, 4e-7);
}

static void softmax(void **state)
{
    float y[MOST];
    double sum = 0;
    (void)state;
    RUN(softmax_fwd, ((op_args){ .x = { IN(rows) }, .n = 1, .c = 11, .h = 2, .w = 3 }), softmax, 3e-7, 0);
    for (int k = 0; k < 11; k++)
        sum += (double)y[k];
    assert_true(fabs(sum - 1) < 11 * (double)FLT_EPSILON);
    run(KERNEL_softmax_fwd, (op_args){ .x = { (float[]){ -80.0f } }, .n = 1, .c = 1, .h = 1, .w = 1 }, y, 1);
    assert_true(y[0] == 1.0f);
    run(KERNEL_softmax_fwd,
        (op_args){ .x = { (float[]){ 1e4f, 1e4f, 1e4f, 1e4f } }, .n = 1, .c = 4, .h = 1, .w = 1 }, y, 4);
    assert_true(y[0] == 0.25f && y[3] == 0.25f);
}

static void copies(void **state)
{
    float y[MOST];
    op_args a = whole;
    (void)state;
    RUN(shortcut_a_fwd,
        ((op_args){ .x = { IN(w) }, .n = 2, .c = 4, .h = 5, .w = 6, .oh = 3, .ow = 3, .y_c = 8, .y_at = 2 }),
        shortcut_a, 0, 0);
    a.y_c = 8;
    a.x_c = 3;
    a.x[0] = IN(x);
    run(KERNEL_copy_fwd, a, y, 560);
    a.x[0] = IN(odd);
    a.y_at = 5;
    run(KERNEL_copy_fwd, a, y, 560);
    a.x[0] = IN(z);
    a.c = 2;
    a.x_at = 1;
    a.y_at = 3;
    run(KERNEL_copy_fwd, a, y, 560); /* the channels of the two copies before it stay */
    same("concat", y, golden_concat, LENGTH(golden_concat), 0, 0);
}

/* One element through every kernel. */
static void one_element(void **state)
{
    float y[MOST], one[3] = { 2.5f, 0.5f, 1.0f };
    static const unsigned char white = 255;
    static const struct {
        int kernel;
        float want;
    } cases[] = {
        { KERNEL_normalise_fwd, -3.0f }, /* (1 - 2.5) / 0.5 */
        { KERNEL_relu_fwd, 2.5f },        { KERNEL_relu6_fwd, 2.5f },
        { KERNEL_scale_shift_fwd, 2.25f }, /* 2.5 * 0.5 + 1 */
        { KERNEL_add_fwd, 3.0f },         { KERNEL_maxpool_fwd, 2.5f },
        { KERNEL_avgpool_fwd, 2.5f },     { KERNEL_gap_fwd, 2.5f },
        { KERNEL_copy_fwd, 2.5f },        { KERNEL_softmax_fwd, 1.0f },
        { KERNEL_shortcut_a_fwd, 2.5f },
    };
    (void)state;
    assert_int_equal(LENGTH(cases), KERNEL_COUNT);
    for (size_t i = 0; i < LENGTH(cases); i++) {
        op_args a = { .x = { one, one + 1, one + 2 }, .u8 = &white, .n = 1, .c = 1, .h = 1, .w = 1,
                      .oh = 1, .ow = 1, .kernel = 1, .stride = 1, .x_c = 1, .y_c = 1 };
        run(cases[i].kernel, a, y, 1);
        if (y[0] != cases[i].want)
            fail_msg("%s: %g, not %g", kernel_names[cases[i].kernel], (double)y[0], (double)cases[i].want);
    }
}

/* A ramp x[r][q] = 10 r + q: what each window must give can be said without a loop over it. */
static void ramp_in_closed_form(void **state)
{
    float x[9 * 11], y[MOST];
    op_args a = { .x = { x }, .n = 1, .c = 1, .h = 9, .w = 11, .kernel = 3, .stride = 2, .pad = 1,
                  .oh = 5, .ow = 6 };
    (void)state;
    for (int r = 0; r < 9; r++)
        for (int q = 0; q < 11; q++)
            x[r * 11 + q] = (float)(10 * r + q);
    run(KERNEL_maxpool_fwd, a, y, 30);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++) {
            int r = 2 * i + 1 < 8 ? 2 * i + 1 : 8, q = 2 * j + 1 < 10 ? 2 * j + 1 : 10;
            assert_true(y[i * 6 + j] == (float)(10 * r + q));
        }
    a.pad = 0;
    a.oh = 4;
    a.ow = 5;
    run(KERNEL_avgpool_fwd, a, y, 20);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 5; j++)
            assert_true(y[i * 5 + j] == (float)(10 * (2 * i + 1) + 2 * j + 1)); /* the centre */
    run(KERNEL_gap_fwd, a, y, 1);
    assert_true(y[0] == 45.0f);
}

static void malformed_arguments_are_named(void **state)
{
    float v[16] = { 0 };
    const op_args good = { .x = { v, v, v }, .u8 = (const unsigned char *)v, .y = v, .n = 1, .c = 1,
                           .h = 4, .w = 4, .oh = 2, .ow = 2, .kernel = 2, .stride = 2, .x_c = 1, .y_c = 1 };
    op_args a;
    (void)state;
#define REFUSED(kernel, change, words)                                                             \
    do {                                                                                           \
        a = good;                                                                                  \
        assert_null(kernel_problem(KERNEL_##kernel, &a));                                          \
        change;                                                                                    \
        assert_non_null(kernel_problem(KERNEL_##kernel, &a));                                      \
        assert_string_equal(kernel_problem(KERNEL_##kernel, &a), words);                           \
    } while (0)
    REFUSED(relu_fwd, a.n = 0, "empty shape");
    REFUSED(relu_fwd, a.w = -1, "empty shape");
    REFUSED(relu_fwd, a.y = NULL, "no output");
    REFUSED(relu_fwd, a.x[0] = NULL, "operand missing");
    REFUSED(add_fwd, a.x[1] = NULL, "operand missing");
    REFUSED(normalise_fwd, a.u8 = NULL, "no image bytes");
    REFUSED(relu_fwd, a.h = a.w = 1 << 16, "size overflows");
    REFUSED(relu_fwd, a.n = a.c = a.h = 0x7fffffff, "size overflows");
    REFUSED(copy_fwd, a.n = a.y_c = 0x7fffffff, "size overflows");
    REFUSED(maxpool_fwd, a.kernel = 0, "window below one, or negative padding");
    REFUSED(maxpool_fwd, a.stride = 0, "window below one, or negative padding");
    REFUSED(maxpool_fwd, a.pad = 2, "padding above half the window");
    REFUSED(avgpool_fwd, a.kernel = 5, "window larger than the padded input");
    REFUSED(avgpool_fwd, a.oh = 3, "output size is not the pool's");
    REFUSED(maxpool_fwd, a.flags = KF_CEIL; a.h = 5, "output size is not the pool's");
    REFUSED(copy_fwd, a.x_at = 1, "slice leaves its tensor");
    REFUSED(copy_fwd, a.y_at = -1, "slice starts below zero");
    REFUSED(shortcut_a_fwd, a.y_at = 1, "channels leave the output");
    REFUSED(shortcut_a_fwd, a.h = 5, "output size is not half the input's");
    assert_string_equal(kernel_problem(-1, &good), "no such kernel");
    assert_string_equal(kernel_problem(KERNEL_COUNT, &good), "no such kernel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalise),           cmocka_unit_test(elementwise),
        cmocka_unit_test(in_place),            cmocka_unit_test(pools),
        cmocka_unit_test(softmax),             cmocka_unit_test(copies),
        cmocka_unit_test(one_element),         cmocka_unit_test(ramp_in_closed_form),
        cmocka_unit_test(malformed_arguments_are_named),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
