/* The CPU backend's convolutions, pools and arithmetic on maps against the reference, through networks
 * of a few nodes: odd sides, channels that fill no vector, one pixel, borders around everything. */
#include "tests/unit/tiny_net.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* ---- convolutions ---- */

static int conv_1(graph *g, int x) { return g_conv_bias(g, x, 33, 1, 1, 0, "c"); }
static int conv_1_plain(graph *g, int x) { return g_conv(g, x, 16, 1, 2, 0, "c"); }
static int conv_3(graph *g, int x) { return g_relu(g, g_conv_bias(g, x, 20, 3, 1, 1, "c")); }
static int conv_5(graph *g, int x) { return g_conv_bias(g, x, 7, 5, 2, 2, "c"); }
static int conv_patch(graph *g, int x) { return g_conv_bias(g, x, 48, 4, 4, 0, "c"); }
static int conv_standardised(graph *g, int x) { return g_conv_standardised(g, x, 18, 3, 2, 1, "c"); }
static int conv_bn(graph *g, int x)
{
    return g_relu6(g, g_batchnorm(g, g_conv(g, x, 24, 3, 2, 1, "c"), "bn"));
}
static int conv_bn_add(graph *g, int x)
{
    int y = g_batchnorm(g, g_conv(g, x, g_channels(g, x), 3, 1, 1, "c"), "bn");
    return g_relu(g, g_add(g, y, x));
}
static int conv_gelu(graph *g, int x) { return g_gelu(g, g_conv_bias(g, x, 37, 3, 1, 1, "c")); }
static int conv_silu(graph *g, int x) { return g_silu(g, g_conv_bias(g, x, 32, 1, 1, 0, "c")); }
static int conv_sigmoid(graph *g, int x) { return g_sigmoid(g, g_conv_bias(g, x, 5, 2, 2, 0, "c")); }
static int conv_scale(graph *g, int x)
{
    return g_add(g, x, g_scale(g, g_conv_bias(g, x, g_channels(g, x), 1, 1, 0, "c"), "gamma.weight"));
}

static int conv_to_one_add(graph *g, int x) /* in bf16 a sum of a map's convolution and a vector */
{
    int y = g_conv_bias(g, x, 9, 4, 1, 0, "a");
    return g_relu(g, g_add(g, y, g_conv_bias(g, x, 9, 4, 4, 0, "b")));
}

static int each_3(graph *g, int x) { return g_conv_depthwise(g, x, 3, 1, 1, "c"); }
static int each_3_add(graph *g, int x) { return g_relu(g, g_add(g, x, each_3(g, x))); }
static int each_3_silu(graph *g, int x)
{
    return g_silu(g, g_conv_depthwise_bias(g, x, 3, 2, 1, "c"));
}
static int each_5_silu(graph *g, int x)
{
    return g_silu(g, g_batchnorm(g, g_conv_depthwise(g, x, 5, 2, 2, "c"), "bn"));
}
static int each_7(graph *g, int x) { return g_conv_depthwise_bias(g, x, 7, 1, 3, "c"); }
static int each_7_gelu(graph *g, int x) { return g_gelu(g, each_7(g, x)); }
static int each_3_relu6(graph *g, int x) { return g_relu6(g, each_3(g, x)); }

static int groups_of(graph *g, int x, int cout, int groups)
{
    return g_batchnorm(g, g_conv_groups(g, x, cout, 3, 1, 1, groups, "c"), "bn");
}
static int groups_2(graph *g, int x) { return g_relu(g, groups_of(g, x, 2 * g_channels(g, x), 2)); }
static int groups_3(graph *g, int x) { return groups_of(g, x, 21, 3); }
static int groups_2_silu(graph *g, int x) { return g_silu(g, groups_of(g, x, 16, 2)); }
static int groups_add(graph *g, int x)
{
    return g_relu(g, g_add(g, groups_of(g, x, g_channels(g, x), 4), x));
}
static int groups_stride(graph *g, int x) { return g_conv_groups(g, x, 224, 3, 2, 1, 2, "c"); }

/* RepVGG: three branches that become one convolution. */
static int branches(graph *g, int x)
{
    int c = g_channels(g, x);
    int y = g_batchnorm(g, g_conv(g, x, c, 3, 1, 1, "a"), "abn");
    int z = g_batchnorm(g, g_conv(g, x, c, 1, 1, 0, "b"), "bbn");
    return g_relu(g, g_add(g, g_add(g, y, z), g_batchnorm(g, x, "cbn")));
}

static const tiny_case products[] = {
    { "conv 1x1", conv_1, 13, 5, 3, 1, 0, 0 },
    { "conv 1x1 of a vector", conv_1, 13, 1, 1, 0, 0, 0 },
    { "conv 1x1, stride 2", conv_1_plain, 32, 5, 7, 1, 0, 0 },
    { "conv 3x3 and relu", conv_3, 9, 7, 17, 1, 0, 0 },
    { "conv 3x3 of one pixel", conv_3, 9, 1, 1, 0, 0, 0 },
    { "conv 5x5, stride 2", conv_5, 16, 9, 4, 1, 0, 0 },
    { "conv of patches", conv_patch, 3, 8, 13, 1, 0, 0 },
    { "conv of one patch", conv_patch, 3, 4, 4, 1, 0, 0 },
    { "conv with standardised weights", conv_standardised, 11, 6, 5, 2, 0, 0 },
    { "conv to one pixel, sum, relu", conv_to_one_add, 8, 4, 4, 2, 0, 0 },
    { "conv, bn, relu6", conv_bn, 8, 6, 9, 2, 0, 0 },
    { "conv, bn, sum, relu", conv_bn_add, 19, 4, 5, 2, 0, 0 },
    { "conv and gelu", conv_gelu, 12, 5, 6, 1, 0, 0 },
    { "conv and silu", conv_silu, 32, 14, 3, 1, 0, 0 },
    { "conv and silu of a vector", conv_silu, 6, 1, 1, 0, 0, 0 },
    { "conv and sigmoid", conv_sigmoid, 7, 4, 5, 1, 0, 0 },
    { "conv, layer scale, sum", conv_scale, 22, 3, 4, 2, 0, 0 },
    { "depthwise 3x3", each_3, 16, 6, 19, 1, 0, 0 },
    { "depthwise 3x3 of one pixel", each_3, 16, 1, 1, 0, 0, 0 },
    { "depthwise 3x3, sum, relu", each_3_add, 21, 5, 4, 2, 0, 0 },
    { "depthwise 3x3, stride 2, silu", each_3_silu, 35, 7, 8, 1, 0, 0 },
    { "depthwise 5x5, stride 2, bn, silu", each_5_silu, 24, 9, 11, 2, 0, 0 },
    { "depthwise 7x7", each_7, 40, 10, 9, 1, 0, 0 },
    { "depthwise 7x7 and gelu", each_7_gelu, 6, 3, 2, 1, 0, 0 },
    { "depthwise 3x3 and relu6", each_3_relu6, 17, 12, 3, 1, 0, 0 },
    { "2 groups of 12", groups_2, 24, 5, 7, 2, 0, 0 },
    { "3 groups of 5", groups_3, 15, 6, 4, 2, 0, 0 },
    { "2 groups and silu", groups_2_silu, 32, 3, 4, 2, 0, 0 },
    { "4 groups, sum, relu", groups_add, 64, 5, 5, 2, 0, 0 },
    { "2 groups of 112, stride 2", groups_stride, 224, 4, 5, 1, 0, 0 },
    { "groups of one pixel", groups_add, 8, 1, 1, 1, 0, 0 },
    { "branches that merge", branches, 14, 5, 6, 2, 0, 0 },
};

static void products_agree(void **state)
{
    (void)state;
    tiny_compare_all(products, LENGTH(products));
}

/* ---- pools ---- */

static int max_3(graph *g, int x) { return g_maxpool(g, x, 3, 2, 1, 0); }
static int max_3_ceil(graph *g, int x) { return g_maxpool(g, x, 3, 2, 0, 1); }
static int max_zero(graph *g, int x) { return g_maxpool_zero_pad(g, x, 3, 2, 1); }
static int max_all(graph *g, int x) { return g_maxpool(g, x, 4, 4, 0, 0); }
static int avg_2(graph *g, int x) { return g_avgpool(g, x, 2, 2); }
static int avg_2_ceil(graph *g, int x) { return g_avgpool_ceil(g, x, 2, 2); }
static int avg_3_ceil(graph *g, int x) { return g_avgpool_ceil(g, x, 3, 2); }
static int avg_all(graph *g, int x) { return g_avgpool(g, x, 4, 4); }
static int gap(graph *g, int x) { return g_gap(g, x); }

static const tiny_case pools[] = {
    { "maximum of 3x3", max_3, 17, 7, 8, 0, 0, 0 },
    { "maximum of 3x3 below 0", max_3, 5, 4, 5, 0, -3, 0 },
    { "maximum of 3x3, up", max_3_ceil, 16, 6, 7, 0, 0, 0 },
    { "maximum with zeros around", max_zero, 12, 7, 6, 0, 0, 0 },
    { "maximum with zeros around, below 0", max_zero, 12, 6, 5, 0, -3, 0 },
    { "maximum with zeros around one pixel", max_zero, 5, 1, 1, 0, -3, 0 },
    { "maximum with NaN", max_3, 9, 8, 8, 0, 0, 0.05f },
    { "maximum with zeros and NaN", max_zero, 9, 8, 8, 0, 0, 0.05f },
    { "maximum of a whole map", max_all, 21, 4, 4, 0, 0, 0 },
    { "mean of 2x2", avg_2, 18, 5, 6, 1, 0, 0 },
    { "mean of 2x2, up", avg_2_ceil, 33, 5, 7, 1, 0, 0 },
    { "mean of 2x2, up, even", avg_2_ceil, 3, 4, 6, 1, 0, 0 },
    { "mean of 3x3, up", avg_3_ceil, 40, 6, 8, 1, 0, 0 },
    { "mean of a whole map by its window", avg_all, 21, 4, 4, 0, 0, 0 },
    { "mean of a map", gap, 37, 9, 5, 0, 0, 0 },
    { "mean of a map far from 0", gap, 64, 30, 31, 0, 256, 0 },
    { "mean of tokens", gap, 40, 23, 1, 0, 0, 0 },
    { "mean of one pixel", gap, 6, 1, 1, 0, 0, 0 },
};

static void pools_agree(void **state)
{
    (void)state;
    tiny_compare_all(pools, LENGTH(pools));
}

/* ---- arithmetic ---- */

static int bn(graph *g, int x) { return g_batchnorm(g, x, "bn"); }
static int bn_relu(graph *g, int x) { return g_relu(g, bn(g, x)); }
static int relu(graph *g, int x) { return g_relu(g, x); }
static int relu6(graph *g, int x) { return g_relu6(g, x); }
static int gelu(graph *g, int x) { return g_gelu(g, x); }
static int silu(graph *g, int x) { return g_silu(g, x); }
static int sigmoid(graph *g, int x) { return g_sigmoid(g, x); }
static int silu_of_sum(graph *g, int x) { return g_silu(g, g_add(g, x, bn(g, x))); }
static int add_relu(graph *g, int x) { return g_relu(g, g_add(g, bn(g, x), x)); }
static int scale(graph *g, int x) { return g_scale(g, x, "gamma.weight"); }
static int shortcut(graph *g, int x) { return g_shortcut_a(g, x, g_channels(g, x) + 10); }

/* Squeeze and excitation (EfficientNet: SiLU and sigmoid on vectors). */
static int excitation(graph *g, int x)
{
    int v = g_silu(g, g_conv_bias(g, g_gap(g, x), 9, 1, 1, 0, "fc1"));
    return g_gate(g, x, g_sigmoid(g, g_conv_bias(g, v, g_channels(g, x), 1, 1, 0, "fc2")));
}

/* Dense block: batch norm alone before convolutions on slices of a growing map. */
static int dense(graph *g, int x)
{
    int parts[3] = { x, 0, 0 };
    parts[1] = g_conv(g, g_relu(g, g_batchnorm(g, x, "n1")), 12, 3, 1, 1, "c1");
    x = g_concat(g, parts, 2);
    parts[2] = g_conv(g, g_relu(g, g_batchnorm(g, x, "n2")), 12, 3, 1, 1, "c2");
    return g_relu(g, g_batchnorm(g, g_concat(g, parts, 3), "n3"));
}
static int dense_odd(graph *g, int x) /* a convolution reads a slice whose neighbour comes later */
{
    int parts[3] = { x, 0, 0 };
    parts[0] = g_conv_bias(g, x, 7, 1, 1, 0, "c0");
    parts[1] = g_conv_bias(g, parts[0], 5, 3, 1, 1, "c1");
    parts[2] = g_conv_bias(g, parts[1], 3, 1, 1, 0, "c2");
    return g_concat(g, parts, 3);
}
static int concat_of_slices(graph *g, int x)
{
    int parts[3] = { g_slice(g, x, 4, 6), x, g_slice(g, x, 0, 3) };
    return g_concat(g, parts, 3);
}
static int norm_in_concat(graph *g, int x)
{
    int parts[3] = { g_layernorm(g, x, 1e-6f, "ln"), g_gelu(g, x), g_groupnorm(g, x, 2, "gn") };
    return g_concat(g, parts, 3);
}

static const tiny_case arithmetic[] = {
    { "batch norm", bn, 21, 5, 4, 1, 0, 0 },
    { "batch norm of a vector", bn, 21, 1, 1, 0, 0, 0 },
    { "batch norm and relu", bn_relu, 32, 3, 9, 1, 0, 0 },
    { "relu", relu, 11, 4, 4, 0, 0, 0 },
    { "relu with NaN", relu, 11, 4, 4, 0, 0, 0.05f },
    { "relu6", relu6, 16, 3, 2, 0, 4, 0 },
    { "gelu", gelu, 19, 7, 3, 1, 0, 0 },
    { "gelu of a long row", gelu, 40, 3, 33, 1, 0, 0 },
    { "gelu of a vector", gelu, 40, 1, 1, 0, 0, 0 },
    { "silu", silu, 8, 3, 3, 1, 0, 0 },
    { "sigmoid", sigmoid, 8, 3, 3, 1, 0, 0 },
    { "silu of a sum", silu_of_sum, 13, 4, 5, 3, 0, 0 },
    { "sum and relu", add_relu, 14, 5, 3, 2, 0, 0 },
    { "layer scale", scale, 30, 2, 7, 1, 0, 0 },
    { "shortcut A", shortcut, 6, 5, 7, 0, 0, 0 },
    { "gate", excitation, 20, 6, 5, 1, 0, 0 },
    { "gate of one pixel", excitation, 20, 1, 1, 0, 0, 0 },
    { "dense block", dense, 16, 6, 7, 5, 0, 0 },
    { "dense block of odd channels", dense_odd, 6, 6, 7, 3, 0, 0 },
    { "concatenation of slices", concat_of_slices, 12, 3, 5, 0, 0, 0 },
    { "norms in a concatenation", norm_in_concat, 34, 3, 5, 1, 0, 0 },
};

static void arithmetic_agrees(void **state)
{
    (void)state;
    tiny_compare_all(arithmetic, LENGTH(arithmetic));
}

/* ---- one value per channel ---- */

static void reductions_agree(void **state)
{
    static const tiny_case c = { "reduction", bn, 100, 9, 5, 1, 3, 0 };
    (void)state;
    for (reduction r = REDUCE_MEAN; r <= REDUCE_MAX; r++)
        for (int bf = 0; bf < 2 && (bf == 0 || conv_kernel_bf16() != NULL); bf++) {
            float *want[TINY_OUTPUTS] = { 0 }, *got[TINY_OUTPUTS] = { 0 };
            tiny_net t;
            tiny_open(&t, &c, 0);
            t.requests[0].reduce = r;
            tiny_run(&t, &backend_ref, PRECISION_FP32, 3, 1, want, "ref");
            tiny_run(&t, &backend_cpu, bf ? PRECISION_BF16 : PRECISION_FP32, 3, 1, got, "cpu");
            assert_int_equal(t.count[0], 100);
            assert_true(tiny_distance(got[0], want[0], 3 * t.count[0]) < (bf ? 0x1p-8 : 1e-6));
            tiny_free(want);
            tiny_free(got);
            tiny_close(&t);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree),
        cmocka_unit_test(pools_agree),
        cmocka_unit_test(arithmetic_agrees),
        cmocka_unit_test(reductions_agree),
    };
    return cmocka_run_group_tests_name("cpu maps", tests, NULL, NULL);
}
