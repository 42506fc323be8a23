/* The CPU twins of kernels/ against PyTorch (tests/golden/kernels.h) and against closed forms. */
#include "kernels/groupnorm.h"
#include "kernels/nearest.h"
#include "kernels/record.h"
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

static op_args acting(op_args a, int act)
{
    a.act = act;
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
    RUN(add_fwd, acting(with(odd, z, NULL, 0), KA_RELU), add_relu, 0, 0);
    RUN(gelu_fwd, with(odd, NULL, NULL, 0), gelu, 1e-6, 1e-6);
    RUN(silu_fwd, with(odd, NULL, NULL, 0), silu, 1e-6, 1e-9);
    RUN(sigmoid_fwd, with(odd, NULL, NULL, 0), sigmoid, 1e-6, 1e-9);
    RUN(bias_act_fwd, acting(with(x, bn, NULL, 0), KA_GELU), bias_gelu, 1e-6, 1e-6);
    RUN(gate_fwd, with(z, IN(gates), NULL, 0), gate, 0, 0);
    for (int c = 0; c < 3; c++) {
        double s = (double)bn[c] / sqrt((double)bn[9 + c] + 1e-5);
        scale[c] = (float)s;
        shift[c] = (float)((double)bn[3 + c] - (double)bn[6 + c] * s);
    }
    RUN(scale_shift_fwd, with(x, scale, shift, 0), batch_norm, 4e-7, 1e-6);
    RUN(scale_shift_fwd, acting(with(x, scale, shift, 0), KA_RELU), batch_norm_relu, 4e-7, 1e-6);
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
    run(KERNEL_softmax_fwd, (op_args){ .x = { y }, .n = 6, .c = 11, .h = 1, .w = 1, .scale = 1 }, y, 66);
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
    op_args zeros = pool(odd, 3, 2, 1, KF_ZERO_PAD), sum = with(x, NULL, NULL, 0);
    RUN(maxpool_fwd, zeros, maxpool_zero, 0, 0);
    sum.reduce = KR_SUM;
    run(KERNEL_gap_fwd, sum, y, 6);
    same("sum over the map", y, golden_reduce, 6, 4e-7, 1e-5);
    sum.reduce = KR_MAX;
    run(KERNEL_gap_fwd, sum, y, 6);
    same("largest of the map", y, golden_reduce + 6, 6, 0, 0);
}

/* The moments that the third step of group norm takes: [n, groups, 2]. */
static op_args with_moments(op_args a, float *moments)
{
    float sums[MOST];
    op_args b = a;
    size_t chunks = (size_t)groupnorm_chunks(a.h * a.w, a.c), groups = (size_t)(a.n * a.groups);
    run(KERNEL_groupnorm_sum_fwd, b, sums, 2 * chunks * groups);
    b.x[0] = sums;
    run(KERNEL_groupnorm_join_fwd, b, moments, 2 * groups);
    a.x[3] = moments;
    return a;
}

/* Maps of several chunks, far from zero: mean and deviation of a ramp in closed form; what is no number
 * reaches its own group only. */
static void moments_of_chunks(void **state)
{
    enum { C = 8, SIDE = 80, GROUPS = 4, PLANE = SIDE * SIDE };
    static float x[2 * PLANE * C];
    float moments[MOST];
    op_args a = { .x = { x }, .n = 2, .c = C, .h = SIDE, .w = SIDE, .groups = GROUPS };
    double deviation = sqrt(((double)PLANE * PLANE - 1) / 12), used = 0;
    (void)state;
    assert_int_equal(groupnorm_chunks(PLANE, C), 4); /* three of 2048 pixels and one of 256 */
    for (int i = 0; i < 2 * PLANE * C; i++)
        x[i] = (float)(i / C % PLANE + 100000 * (1 + i % C / 2)); /* 0, 1, ... and the group's distance */
    x[PLANE * C + 5000 * C + 3] = INFINITY;
    (void)with_moments(a, moments);
    for (int g = 0; g < 2 * GROUPS; g++) {
        double mean = 100000.0 * (1 + g % GROUPS) + (PLANE - 1) / 2.0;
        if (g == GROUPS + 1) {
            assert_true(isnan(moments[2 * g]) && isnan(moments[2 * g + 1]));
            continue;
        }
        used = fmax(used, fabs((double)moments[2 * g] / mean - 1));
        used = fmax(used, fabs((double)moments[2 * g + 1] * deviation - 1));
    }
    print_message("# moments of four chunks: %.1e of 1e-6\n", used);
    assert_true(used <= 1e-6);
}

static void norms(void **state)
{
    const float *affine = IN(affine);
    op_args rows = { .x = { IN(tokens), affine, affine + 24 }, .n = 5, .c = 24, .h = 1, .w = 1, .eps = 1e-5f };
    op_args map = { .x = { IN(map8), affine, affine + 24 }, .n = 2, .c = 8, .h = 3, .w = 5, .groups = 4,
                    .eps = 1e-5f };
    float y[MOST], wide[5 * 27], narrow[MOST], moments[2 * 8 + 1]; /* and a guard */
    (void)state;
    map = with_moments(map, moments);
    RUN(layernorm_fwd, rows, layernorm, 1e-6, 2e-6);
    RUN(groupnorm_fwd, map, groupnorm, 1e-6, 2e-5); /* torch's mean of 40 has steps of 4e-6 */
    RUN(groupnorm_fwd, acting(map, KA_RELU), groupnorm_relu, 1e-6, 2e-5);
    for (int r = 0; r < 5; r++)
        for (int k = 0; k < 27; k++)
            wide[27 * r + k] = k < 24 ? ((const float *)rows.x[0])[24 * r + k] : NAN;
    rows.x[0] = wide;
    rows.x_c = 27;
    rows.y_c = 32;
    run(KERNEL_layernorm_fwd, rows, y, 160);
    for (int r = 0; r < 5; r++) {
        memcpy(narrow + 24 * r, y + 32 * r, 24 * sizeof *y);
        for (int k = 24; k < 32; k++)
            assert_true(bits(y[32 * r + k]) == 0);
    }
    same("layer norm of wider rows", narrow, golden_layernorm, 120, 1e-6, 2e-6);
}

static void depthwise(void **state)
{
    float y[MOST];
    op_args a = { .x = { IN(map4) }, .n = 1, .c = 4, .h = 9, .w = 8, .act = KA_RELU6 };
    (void)state;
#define DWCONV(k, s, name)                                                                         \
    do {                                                                                           \
        a.x[1] = IN(taps_##name);                                                                  \
        a.x[2] = IN(taps_bias_##name);                                                             \
        a.kernel = k;                                                                              \
        a.stride = s;                                                                              \
        a.pad = k / 2;                                                                             \
        a.oh = op_pooled(9, k, s, k / 2, 0);                                                       \
        a.ow = op_pooled(8, k, s, k / 2, 0);                                                       \
        RUN(dwconv_fwd, a, dwconv_##name, 1e-6, 3e-6);                                             \
    } while (0)
    DWCONV(3, 1, 31);
    DWCONV(3, 2, 32);
    DWCONV(5, 2, 52);
    DWCONV(7, 1, 71);
}

static void tokens(void **state)
{
    const float *z = IN(z);
    float y[MOST];
    op_args a = with(z, IN(pos), IN(cls), 0);
    (void)state;
    RUN(embed_fwd, a, embed, 0, 0);
    a = (op_args){ .x = { IN(embed) }, .n = 2, .c = 3, .h = 36, .w = 1, .x_at = 5 };
    run(KERNEL_token_fwd, a, y, 6);
    same("token", y, golden_embed + 15, 3, 0, 0);
    same("token", y + 3, golden_embed + 108 + 15, 3, 0, 0);
    a = with(z, NULL, NULL, 0);
    a.oh = 4;
    a.ow = 3;
    RUN(merge_fwd, a, merge, 0, 0);
    a.kernel = 3;
    a.stride = 2;
    a.pad = 1;
    RUN(unfold_fwd, a, unfold, 0, 0);
    a.oh = 8;
    a.ow = 6;
    run(KERNEL_pad_crop_fwd, a, y, 2 * 8 * 6 * 3);
    assert_true(y[0] == z[0] && y[5 * 3] == 0.0f && y[7 * 6 * 3] == 0.0f && y[8 * 6 * 3] == z[105]);
    a = (op_args){ .x = { memcpy((float[MOST]){ 0 }, y, 288 * sizeof *y) }, .n = 2, .c = 3, .h = 8, .w = 6,
                   .oh = 7, .ow = 5 };
    run(KERNEL_pad_crop_fwd, a, y, 210);
    assert_memory_equal(y, z, 210 * sizeof *y);
}

/* The steps of a shifted window's attention around its two products, as Swin has them. */
static void window_attention(void **state)
{
    float y[MOST];
    op_args a = { .x = { IN(qkv) }, .n = 2, .c = 6, .h = 4, .w = 6, .groups = 2, .window = 2, .shift = 1 };
    op_args s = { .x = { IN(scores), IN(table) }, .n = 12, .c = 4, .h = 2, .w = 4, .oh = 4, .ow = 6,
                  .window = 2, .shift = 1, .scale = 1 / sqrtf(3) };
    (void)state;
    RUN(split_heads_fwd, a, qkv_split, 0, 0);
    RUN(softmax_fwd, s, scores_softmax, 2e-6, 1e-9);
    a.x[0] = IN(heads);
    RUN(join_heads_fwd, a, heads_joined, 0, 0);
    a.x[0] = IN(qkv); /* without windows: all 24 tokens of an image in row-major order */
    a.window = a.shift = 0;
    run(KERNEL_split_heads_fwd, a, y, 864);
    for (int i = 0; i < 864; i++) {
        int d = i % 3, t = i / 3 % 24, head = i / 72 % 2, n = i / 144 % 2, part = i / 288;
        assert_true(y[i] == ((const float *)a.x[0])[(n * 24 + t) * 18 + part * 6 + head * 3 + d]);
    }
}

static void performer(void **state)
{
    float y[MOST], parts[36], sums[36];
    op_args a = { .x = { IN(kqv), IN(performer_w), sums }, .n = 1, .c = 8, .h = 3, .w = 4, .groups = 4 };
    op_args j = { .x = { parts }, .n = 1, .c = 36, .h = 1, .w = 1 };
    (void)state;
    run(KERNEL_performer_sum_fwd, a, y, 36);
    memcpy(parts, y, sizeof parts);
    run(KERNEL_performer_join_fwd, j, y, 36);
    memcpy(sums, y, sizeof sums);
    RUN(performer_out_fwd, a, performer, 2e-6, 2e-6);
}

/* Every 16-bit pattern returns from float32 unchanged; rounding and overflow as torch has them. */
static void types(void **state)
{
    const float *v = IN(values);
    float y[MOST];
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        uint16_t h = (uint16_t)b;
        int f16_nan = (b & 0x7fff) > 0x7c00, bf16_nan = (b & 0x7fff) > 0x7f80;
        assert_int_equal(f16_of_float(float_of_f16(h)), f16_nan ? 0x7fff : h);
        assert_int_equal(bf16_of_float(float_of_bf16(h)), bf16_nan ? 0x7fff : h);
        assert_true(isnan(float_of_f16(h)) == f16_nan && isnan(float_of_bf16(h)) == bf16_nan);
    }
    for (size_t i = 0; i < LENGTH(golden_values); i++)
        y[i] = float_of_f16(f16_of_float(v[i]));
    same("float16", y, golden_values_f16, LENGTH(golden_values), 0, 0);
    for (size_t i = 0; i < LENGTH(golden_values); i++)
        y[i] = float_of_bf16(bf16_of_float(v[i]));
    same("bfloat16", y, golden_values_bf16, LENGTH(golden_values), 0, 0);
}

/* A kernel in 16 bits is the one in float32 on rounded values, rounded once. */
static void sixteen_bits(void **state)
{
    const float *z = IN(z);
    float y[MOST], rounded[MOST];
    uint16_t h[MOST], out[MOST];
    op_args a = { .n = 2, .c = 3, .h = 7, .w = 5, .scale = 1 };
    (void)state;
    for (int type = KT_F16; type <= KT_BF16; type++) {
        for (size_t i = 0; i < 210; i++) {
            type_put(h, type, i, z[i]);
            rounded[i] = type_get(h, type, i);
        }
        a.x[0] = rounded;
        a.x_type = a.y_type = KT_F32;
        run(KERNEL_softmax_fwd, a, y, 210);
        a.x[0] = h;
        a.y = out;
        a.x_type = a.y_type = type;
        assert_null(kernel_problem(KERNEL_softmax_fwd, &a));
        assert_int_equal(kernels_cpu[KERNEL_softmax_fwd](&a), 0);
        for (size_t i = 0; i < 210; i++) {
            uint16_t want[1];
            type_put(want, type, 0, y[i]);
            assert_int_equal(out[i], *want);
        }
        a.flags = KF_NCHW;
        a.y = y;
        a.y_type = KT_F32;
        assert_int_equal(kernels_cpu[KERNEL_export_fwd](&a), 0);
        for (int i = 0; i < 210; i++) /* y: n, c, p; x: n, p, c */
            assert_true(y[i] == rounded[i / 105 * 105 + i % 35 * 3 + i / 35 % 3]);
        a.flags = 0;
    }
}

static void softmax(void **state)
{
    float y[MOST];
    double sum = 0;
    (void)state;
    RUN(softmax_fwd, ((op_args){ .x = { IN(rows) }, .n = 1, .c = 11, .h = 2, .w = 3, .scale = 1 }), softmax, 3e-7, 0);
    for (int k = 0; k < 11; k++)
        sum += (double)y[k];
    assert_true(fabs(sum - 1) < 11 * (double)FLT_EPSILON);
    run(KERNEL_softmax_fwd, (op_args){ .x = { (float[]){ -80.0f } }, .n = 1, .c = 1, .h = 1, .w = 1, .scale = 1 }, y, 1);
    assert_true(y[0] == 1.0f);
    run(KERNEL_softmax_fwd,
        (op_args){ .x = { (float[]){ 1e4f, 1e4f, 1e4f, 1e4f } }, .n = 1, .c = 4, .h = 1, .w = 1, .scale = 1 }, y, 4);
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

static size_t count_of(int kernel)
{
    return kernel == KERNEL_merge_fwd                                              ? 4
           : kernel == KERNEL_split_heads_fwd                                      ? 3
           : kernel == KERNEL_embed_fwd || kernel == KERNEL_performer_sum_fwd ||
                     kernel == KERNEL_groupnorm_sum_fwd || kernel == KERNEL_groupnorm_join_fwd
               ? 2
               : 1;
}

/* One element through every kernel. */
static void one_element(void **state)
{
    float y[MOST], one[5] = { 2.5f, 0.5f, 1.0f, 7.5f, 0.0f };
    static const unsigned char white = 255;
    static const struct {
        int kernel;
        float want;
    } cases[] = {
        { KERNEL_normalise_fwd, -3.0f }, /* (1 - 2.5) / 0.5 */
        { KERNEL_relu_fwd, 2.5f },
        { KERNEL_relu6_fwd, 2.5f },
        { KERNEL_gelu_fwd, 2.48447585f }, /* 2.5 Phi(2.5) */
        { KERNEL_silu_fwd, 2.31035471f }, /* 2.5 / (1 + exp(-2.5)) */
        { KERNEL_sigmoid_fwd, 0.924141824f },
        { KERNEL_scale_shift_fwd, 2.25f }, /* 2.5 * 0.5 + 1 */
        { KERNEL_bias_act_fwd, 3.0f },
        { KERNEL_gate_fwd, 1.25f },
        { KERNEL_add_fwd, 3.0f },
        { KERNEL_maxpool_fwd, 2.5f },
        { KERNEL_avgpool_fwd, 2.5f },
        { KERNEL_gap_fwd, 2.5f },
        { KERNEL_copy_fwd, 2.5f },
        { KERNEL_pad_crop_fwd, 2.5f },
        { KERNEL_export_fwd, 2.5f },
        { KERNEL_shortcut_a_fwd, 2.5f },
        { KERNEL_layernorm_fwd, 1.0f }, /* the shift */
        { KERNEL_groupnorm_sum_fwd, 2.5f },
        { KERNEL_groupnorm_join_fwd, 2.5f },
        { KERNEL_groupnorm_fwd, 1.0f }, /* mean 2.5 */
        { KERNEL_dwconv_fwd, 2.25f },
        { KERNEL_embed_fwd, 1.5f }, /* class token 1, its position 0.5 */
        { KERNEL_token_fwd, 2.5f },
        { KERNEL_merge_fwd, 2.5f },
        { KERNEL_unfold_fwd, 2.5f },
        { KERNEL_split_heads_fwd, 2.5f },
        { KERNEL_join_heads_fwd, 2.5f },
        { KERNEL_softmax_fwd, 1.0f },
        { KERNEL_performer_sum_fwd, 0.153354967f * 1.0f }, /* exp(1.25 - 3.125) v */
        { KERNEL_performer_join_fwd, 2.5f },
        { KERNEL_performer_out_fwd, 1.0f / 7.5f }, /* 1 / (7.5 + 1e-8), phi cancels but for it */
    };
    (void)state;
    assert_int_equal(LENGTH(cases) + 5 + RECORD_STAGES, KERNEL_COUNT); /* and those of the next two */
    for (size_t i = 0; i < LENGTH(cases); i++) {
        op_args a = { .x = { one, one + 1, one + 2, one }, .u8 = &white, .n = 1, .c = 1, .h = 1, .w = 1,
                      .oh = 1, .ow = 1, .kernel = 1, .stride = 1, .x_c = 1, .y_c = 1, .groups = 1,
                      .scale = 1, .eps = 1e-5f };
        run(cases[i].kernel, a, y, count_of(cases[i].kernel));
        if (fabsf(y[0] - cases[i].want) > 2e-7f * fabsf(cases[i].want))
            fail_msg("%s: %g, not %g", kernel_names[cases[i].kernel], (double)y[0], (double)cases[i].want);
    }
}

/* The kernels of rows in float64. */
/* A grey picture of one pixel: a block of its DC coefficient alone, then halved by the vertical pass, in the
 * middle of three pixels. */
static void one_pixel_of_a_record(void **state)
{
    struct {
        record_image image;
        _Alignas(16) int16_t quant[64];
        record_block block;
        unsigned char values[16];
        _Alignas(16) int32_t across[3];
        _Alignas(16) int32_t down[3];
    } m = { .image = { .kind = RECORD_JPEG, .planes = 1, .sx = 1, .sy = 1, .w = 1, .h = 1, .cw = 1, .ch = 1, .to_x = 1 },
            .quant = { 16 }, .block = { .dc = 10, .wide = 1 },
            .across = { 0, 1, 1 << RECORD_BITS }, .down = { 0, 1, 1 << (RECORD_BITS - 1) } };
    unsigned char scratch[64 + 16 + 16] = { 0 }, y[9];
    op_args a = { .x = { &m.image, NULL, scratch }, .u8 = (unsigned char *)&m, .y = scratch, .n = 1, .c = 3, .h = 1, .w = 3,
                  .y_c = 1 };
    (void)state;
    m.image.plane[0] = (record_plane){ .quant = (uint32_t)((char *)m.quant - (char *)&m),
                                       .blocks = (uint32_t)((char *)&m.block - (char *)&m), .wide = 1, .high = 1,
                                       .width = 1, .height = 1 };
    m.image.values = (uint32_t)((char *)m.values - (char *)&m);
    m.image.across = (record_axis){ 1, 1, (uint32_t)((char *)m.across - (char *)&m) };
    m.image.down = (record_axis){ 1, 1, (uint32_t)((char *)m.down - (char *)&m) };
    record_layout(&m.image, 1, 1, 3, sizeof scratch, 0);
    assert_true(m.image.group == 1 && m.image.group_scratch == sizeof scratch);
    assert_int_equal(kernels_cpu[KERNEL_jpeg_samples_fwd](&a), 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(scratch[i], 148); /* 10 * 16 / 8 + 128 */
    assert_int_equal(kernels_cpu[KERNEL_jpeg_rgb_fwd](&a), 0);
    assert_memory_equal(scratch + 64, "\x94\x94\x94", 3);
    assert_int_equal(kernels_cpu[KERNEL_resize_across_fwd](&a), 0);
    assert_memory_equal(scratch + 80, "\x94\x94\x94", 3);
    a.y = y;
    assert_null(kernel_problem(KERNEL_resize_down_fwd, &a));
    assert_int_equal(kernels_cpu[KERNEL_resize_down_fwd](&a), 0);
    assert_memory_equal(y, "\0\0\0\x4a\x4a\x4a\0\0\0", 9);
    m.image.kind = RECORD_EMPTY;
    assert_int_equal(kernels_cpu[KERNEL_resize_down_fwd](&a), 0);
    assert_memory_equal(y, "\0\0\0\0\0\0\0\0\0", 9);
    a.x[2] = NULL;
    assert_non_null(kernel_problem(KERNEL_resize_down_fwd, &a));
    a.x[2] = scratch;
    a.y_c = 0;
    assert_non_null(kernel_problem(KERNEL_resize_down_fwd, &a));
    a.y_c = 1;
    a.u8 = NULL;
    assert_non_null(kernel_problem(KERNEL_jpeg_samples_fwd, &a));
}

static void one_element_in_double(void **state)
{
    const float x = 2.5f;
    const double row = 2.5, half = 0.5, add = 7.5;
    double y = 0;
    nearest_item found[3], pair[2];
    op_args a = { .x = { &x, &half }, .y = &y, .n = 1, .c = 1, .h = 1, .w = 1, .groups = 1,
                  .scale = -2 };
    (void)state;
    assert_int_equal(kernels_cpu[KERNEL_widen_fwd](&a), 0);
    assert_true(y == 2.0); /* 2.5 - 0.5 */
    a.x[0] = &row;
    assert_int_equal(kernels_cpu[KERNEL_row_squares_fwd](&a), 0);
    assert_true(y == 6.25);
    a.x[2] = &add;
    assert_int_equal(kernels_cpu[KERNEL_row_least_fwd](&a), 0);
    assert_true(y == 3.0); /* 0.5 - 2 2.5 + 7.5 */
    a.y = found;
    a.kernel = 1;
    a.window = 2;
    a.stride = a.pad = 1;
    a.shift = 7;
    assert_int_equal(kernels_cpu[KERNEL_row_nearest_fwd](&a), 0);
    assert_true(found[0].value == INFINITY && found[0].at == 1);
    assert_true(found[1].value == -4.5 && found[1].at == 7); /* 0.5 - 2 2.5 */
    found[1].at = 0;
    a.x[2] = found;
    a.y = pair;
    assert_int_equal(kernels_cpu[KERNEL_row_pairs_fwd](&a), 0);
    assert_true(pair[0].at == 1 && pair[1].value == 4.0 && pair[1].at == 0); /* (2.5 - 0.5)^2 */
}

static int earlier(const void *a, const void *b)
{
    const nearest_item *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_index(const void *a, const void *b)
{
    const nearest_item *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Tiles of 1 to 9 columns, values with and without ties: those that a sort would choose, by index. */
static void nearest_of_many_tiles(void **state)
{
    enum { ROWS = 3, COLUMNS = 200, ROOM = 42 };
    static double v[ROWS][COLUMNS], tile[ROWS * 9];
    static const double zeros[9] = { 0 };
    uint64_t seed = 7;
    (void)state;
    for (int grid = 0; grid < 3; grid++)
        for (int want = 1, width = 1; want <= 33; want += 8, width += 2) {
            nearest_item found[ROWS][ROOM + 1], all[COLUMNS];
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < COLUMNS; k++) {
                    seed = seed * 6364136223846793005u + 1442695040888963407u;
                    v[r][k] = grid == 0   ? (double)(int64_t)seed
                              : grid == 1 ? (double)(seed >> 61) - 3
                                          : 1.25; /* all alike */
                }
            for (int at = 0, c; at < COLUMNS; at += c) {
                op_args a = { .x = { tile, zeros }, .y = found, .n = ROWS, .h = 1, .w = 1, .scale = 1, .kernel = want,
                              .window = ROOM, .shift = at, .stride = at == 0 };
                a.c = c = COLUMNS - at < width ? COLUMNS - at : width;
                a.pad = at + c == COLUMNS;
                for (int r = 0; r < ROWS; r++)
                    memcpy(tile + r * c, v[r] + at, (size_t)c * sizeof *tile);
                assert_null(kernel_problem(KERNEL_row_nearest_fwd, &a));
                assert_int_equal(kernels_cpu[KERNEL_row_nearest_fwd](&a), 0);
            }
            for (int r = 0; r < ROWS; r++) {
                for (int k = 0; k < COLUMNS; k++)
                    all[k] = (nearest_item){ v[r][k], k };
                qsort(all, COLUMNS, sizeof *all, earlier);
                assert_int_equal(found[r][0].at, want);
                assert_true(found[r][0].value == all[want - 1].value);
                qsort(all, (size_t)want, sizeof *all, by_index);
                assert_memory_equal(found[r] + 1, all, (size_t)want * sizeof *all);
            }
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
    const op_args good = { .x = { v, v, v, v }, .u8 = (const unsigned char *)v, .y = v, .n = 1, .c = 1,
                           .h = 4, .w = 4, .oh = 2, .ow = 2, .kernel = 2, .stride = 2, .x_c = 1, .y_c = 1,
                           .groups = 1, .scale = 1 };
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
    REFUSED(relu_fwd, a.x_type = 3, "no such type");
    REFUSED(relu_fwd, a.y_type = KT_F16, "x and y differ in type");
    REFUSED(copy_fwd, a.x_type = KT_F16; a.y_type = KT_BF16, "two 16-bit types");
    REFUSED(gap_fwd, a.y_type = KT_F16, "the result is float32");
    REFUSED(gap_fwd, a.reduce = KR_COUNT, "no such reduction");
    REFUSED(add_fwd, a.act = KA_COUNT, "no such activation");
    REFUSED(maxpool_fwd, a.flags = KF_CEIL | KF_ZERO_PAD, "a border of zeros and sizes that round up");
    REFUSED(token_fwd, a.x_at = 16, "no such token");
    REFUSED(pad_crop_fwd, a.oh = 0, "empty output");
    REFUSED(layernorm_fwd, a.c = 2, "rows narrower than their channels");
    REFUSED(layernorm_fwd, a.x_c = a.y_c = 8193, "rows beyond 8192 channels");
    REFUSED(groupnorm_fwd, a.groups = 2, "groups do not divide the channels");
    REFUSED(groupnorm_fwd, a.x[3] = NULL, "operand missing");
    REFUSED(groupnorm_sum_fwd, a.groups = 0, "groups do not divide the channels");
    REFUSED(groupnorm_sum_fwd, a.y_type = KT_F16, "the result is float32");
    REFUSED(groupnorm_join_fwd, a.x_type = KT_F16, "sums are float32");
    REFUSED(softmax_fwd, a.scale = 0, "scale is zero");
    REFUSED(softmax_fwd, a.window = 1, "rows are not a window's");
    REFUSED(softmax_fwd, a.window = 2; a.shift = 1; a.w = a.c = 4; a.x_c = a.y_c = 0; a.x[1] = NULL,
            "shift without a bias table");
    REFUSED(split_heads_fwd, a.groups = 2, "heads do not divide the channels");
    REFUSED(split_heads_fwd, a.window = 3, "windows do not divide the map");
    REFUSED(split_heads_fwd, a.window = 2; a.shift = 2, "shift outside the window");
    REFUSED(join_heads_fwd, a.shift = 1, "shift without windows");
    REFUSED(performer_out_fwd, a.groups = 65, "width or features outside 1..64");
    assert_string_equal(kernel_problem(KERNEL_unfold_fwd, &good), "channels leave the output");
    assert_string_equal(kernel_problem(KERNEL_performer_join_fwd, &good), "sums are not a map");
    a = good;
    a.w = 1;
    assert_null(kernel_problem(KERNEL_performer_join_fwd, &a));
    a.x_type = KT_F16;
    assert_string_equal(kernel_problem(KERNEL_performer_join_fwd, &a), "sums are float32");
    assert_string_equal(kernel_problem(-1, &good), "no such kernel");
    assert_string_equal(kernel_problem(KERNEL_COUNT, &good), "no such kernel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalise),           cmocka_unit_test(elementwise),
        cmocka_unit_test(in_place),            cmocka_unit_test(pools),
        cmocka_unit_test(softmax),             cmocka_unit_test(copies),
        cmocka_unit_test(one_element),         cmocka_unit_test(one_pixel_of_a_record), cmocka_unit_test(one_element_in_double),
        cmocka_unit_test(nearest_of_many_tiles),
        cmocka_unit_test(ramp_in_closed_form),
        cmocka_unit_test(norms),               cmocka_unit_test(moments_of_chunks),
        cmocka_unit_test(depthwise),
        cmocka_unit_test(tokens),              cmocka_unit_test(window_attention),
        cmocka_unit_test(performer),           cmocka_unit_test(types),
        cmocka_unit_test(sixteen_bits),        cmocka_unit_test(malformed_arguments_are_named),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
