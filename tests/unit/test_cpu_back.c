/* The CPU backend's gradients against the reference, through networks of a few nodes: forward, then backward from a
 * given cotangent, in every geometry of the networks: strides, odd sides, channels that fill no vector, groups, one
 * pixel, sums before and behind masks. */
#include "tests/unit/tiny_gradient.h"

#include <omp.h>

/* To the input of a norm and ReLU in front of it, as in a chain of layers: the mask, the norm behind and in front. */
#define CHAIN(name, expression)                                                                    \
    static int name(graph *g, int input)                                                           \
    {                                                                                              \
        int x = g_relu(g, g_batchnorm(g, input, "first"));                                         \
        return gradient(g, input, g_relu(g, g_batchnorm(g, expression, "last")));                  \
    }

BACK(conv_1, g_conv_bias(g, x, 33, 1, 1, 0, "c"))
BACK(conv_1_stride, g_conv(g, x, 16, 1, 2, 0, "c"))
BACK(conv_3, g_conv_bias(g, x, 20, 3, 1, 1, "c"))
BACK(conv_3_bare, g_conv(g, x, 20, 3, 1, 0, "c"))
BACK(conv_3_stride, g_conv(g, x, 20, 3, 2, 1, "c"))
BACK(conv_5_stride, g_conv_bias(g, x, 7, 5, 2, 2, "c"))
BACK(conv_7_stride, g_conv(g, x, 20, 7, 2, 3, "c"))
BACK(conv_2_stride, g_conv_bias(g, x, 24, 2, 2, 0, "c"))
BACK(conv_patch, g_conv_bias(g, x, 48, 4, 4, 0, "c"))
BACK(conv_patch_16, g_conv_bias(g, x, 40, 16, 16, 0, "c"))
BACK(conv_sparse, g_conv(g, x, 12, 2, 3, 1, "c"))
BACK(conv_standardised, g_conv_standardised(g, x, 18, 3, 2, 1, "c"))
BACK(linear, g_linear(g, x, 27, "c"))
CHAIN(chain_1, g_conv(g, x, 33, 1, 1, 0, "c"))
CHAIN(chain_3, g_conv(g, x, 20, 3, 1, 1, "c"))
CHAIN(chain_3_stride, g_conv(g, x, 20, 3, 2, 1, "c"))
CHAIN(chain_1_stride, g_conv(g, x, 20, 1, 2, 0, "c"))
CHAIN(chain_7_stride, g_conv(g, x, 20, 7, 2, 3, "c"))
CHAIN(chain_scale, g_scale(g, g_conv(g, x, 20, 3, 1, 1, "c"), "gamma.weight"))
CHAIN(chain_linear, g_linear(g, x, 20, "c"))
CHAIN(chain_sum, g_add(g, x, g_conv(g, x, g_channels(g, x), 3, 1, 1, "c")))

static int basic(graph *g, int x, int cout, int stride, const char *at) /* of ResNet */
{
    int y = g_relu(g, g_batchnorm(g, g_conv(g, x, cout, 3, stride, 1, g_name(g, "%s.a", at)), g_name(g, "%s.an", at)));
    y = g_batchnorm(g, g_conv(g, y, cout, 3, 1, 1, g_name(g, "%s.b", at)), g_name(g, "%s.bn", at));
    if (stride > 1)
        x = g_batchnorm(g, g_conv(g, x, cout, 1, stride, 0, g_name(g, "%s.d", at)), g_name(g, "%s.dn", at));
    return g_relu(g, g_add(g, y, x));
}
static int residual(graph *g, int x)
{
    return gradient(g, x, basic(g, basic(g, basic(g, x, g_channels(g, x), 1, "p"), 24, 2, "q"), 24, 1, "r"));
}

static int preact(graph *g, int x, int cout, int stride, const char *at) /* of WRN */
{
    int a = g_relu(g, g_batchnorm(g, x, g_name(g, "%s.an", at)));
    int y = g_conv(g, a, cout, 3, stride, 1, g_name(g, "%s.a", at));
    y = g_conv(g, g_relu(g, g_batchnorm(g, y, g_name(g, "%s.bn", at))), cout, 3, 1, 1, g_name(g, "%s.b", at));
    return g_add(g, y, cout != g_channels(g, x) ? g_conv(g, a, cout, 1, stride, 0, g_name(g, "%s.d", at)) : x);
}
static int preactivated(graph *g, int x)
{
    return gradient(g, x, preact(g, preact(g, x, 26, 2, "p"), 26, 1, "q"));
}

static int dense(graph *g, int x)
{
    int z = g_conv(g, x, 12, 3, 1, 1, "stem");
    for (int i = 0; i < 3; i++) {
        int parts[2] = { z, 0 };
        int y = g_relu(g, g_batchnorm(g, z, g_name(g, "n%d", i)));
        y = g_relu(g, g_batchnorm(g, g_conv(g, y, 24, 1, 1, 0, g_name(g, "a%d", i)), g_name(g, "m%d", i)));
        parts[1] = g_conv(g, y, i == 1 ? 7 : 6, 3, 1, 1, g_name(g, "b%d", i)); /* an odd slice */
        z = g_concat(g, parts, 2);
    }
    return gradient(g, x, g_avgpool(g, g_relu(g, g_batchnorm(g, z, "last")), 2, 2));
}

/* RepVGG */
static int branches(graph *g, int x)
{
    int c = g_channels(g, x), in = g_relu(g, g_batchnorm(g, x, "first"));
    int y = g_batchnorm(g, g_conv(g, in, c, 3, 1, 1, "a"), "abn");
    int z = g_batchnorm(g, g_conv(g, in, c, 1, 1, 0, "b"), "bbn");
    return gradient(g, x, g_relu(g, g_add(g, g_add(g, y, z), g_batchnorm(g, in, "cbn"))));
}
static int branches_stride(graph *g, int x)
{
    int in = g_relu(g, g_batchnorm(g, x, "first"));
    int y = g_batchnorm(g, g_conv(g, in, 18, 3, 2, 1, "a"), "abn");
    int z = g_batchnorm(g, g_conv(g, in, 18, 1, 2, 0, "b"), "bbn");
    return gradient(g, x, g_relu(g, g_add(g, y, z)));
}

static const tiny_case products[] = {
    { "conv 1x1", conv_1, 13, 5, 3, 4, 0, 0 },
    { "conv 1x1 of a vector", conv_1, 13, 1, 1, 3, 0, 0 },
    { "conv 1x1, stride 2", conv_1_stride, 32, 5, 7, 4, 0, 0 },
    { "conv 1x1, stride 2, even", conv_1_stride, 20, 6, 4, 4, 0, 0 },
    { "conv 3x3", conv_3, 9, 7, 17, 4, 0, 0 },
    { "conv 3x3 of one pixel", conv_3, 9, 1, 1, 4, 0, 0 },
    { "conv 3x3 without border", conv_3_bare, 9, 6, 5, 4, 0, 0 },
    { "conv 3x3 to one pixel", conv_3_bare, 9, 3, 3, 4, 0, 0 },
    { "conv 3x3, stride 2", conv_3_stride, 18, 8, 9, 4, 0, 0 },
    { "conv 3x3, stride 2, of an image", conv_3_stride, 3, 9, 8, 4, 0, 0 },
    { "conv 5x5, stride 2", conv_5_stride, 16, 9, 4, 4, 0, 0 },
    { "conv 7x7, stride 2, of an image", conv_7_stride, 3, 16, 13, 4, 0, 0 },
    { "conv 7x7, stride 2", conv_7_stride, 21, 9, 10, 4, 0, 0 },
    { "conv 2x2, stride 2", conv_2_stride, 16, 6, 7, 4, 0, 0 },
    { "conv of patches", conv_patch, 3, 8, 13, 4, 0, 0 },
    { "conv of one patch", conv_patch, 3, 4, 4, 4, 0, 0 },
    { "conv of large patches", conv_patch_16, 3, 32, 48, 4, 0, 0 },
    { "conv with gaps", conv_sparse, 10, 9, 7, 4, 0, 0 },
    { "conv with standardised weights", conv_standardised, 11, 6, 5, 4, 0, 0 },
    { "linear", linear, 30, 3, 4, 4, 0, 0 },
    { "linear of a vector", linear, 30, 1, 1, 4, 0, 0 },
    { "norm, relu, conv 1x1, norm, relu", chain_1, 19, 5, 6, -1, 0, 0 },
    { "norm, relu, conv 3x3, norm, relu", chain_3, 32, 14, 5, -1, 0, 0 },
    { "norm, relu, conv 3x3 of stride 2, norm, relu", chain_3_stride, 17, 7, 8, -1, 0, 0 },
    { "norm, relu, conv 1x1 of stride 2, norm, relu", chain_1_stride, 16, 7, 8, -1, 0, 0 },
    { "norm, relu, conv 7x7 of stride 2, norm, relu", chain_7_stride, 3, 9, 8, -1, 0, 0 },
    { "norm, relu, conv, layer scale, norm, relu", chain_scale, 16, 5, 4, -1, 0, 0 },
    { "norm, relu, linear, norm, relu", chain_linear, 34, 5, 4, -1, 0, 0 },
    { "norm, relu, sum with conv, norm, relu", chain_sum, 22, 5, 4, -1, 0, 0 },
    { "residual blocks", residual, 18, 9, 8, -1, 0, 0 },
    { "residual blocks whose norms come first", preactivated, 18, 9, 8, -1, 0, 0 },
    { "dense block", dense, 6, 6, 8, -1, 0, 0 },
    { "branches that merge", branches, 14, 5, 6, -1, 0, 0 },
    { "branches that merge, stride 2", branches_stride, 14, 5, 6, -1, 0, 0 },
};

static void products_agree(void **state)
{
    (void)state;
    tiny_compare_all(products, LENGTH(products));
}

/* ---- groups ---- */

BACK(each_3, g_conv_depthwise(g, x, 3, 1, 1, "c"))
BACK(each_3_stride, g_conv_depthwise(g, x, 3, 2, 1, "c"))
BACK(each_5_stride, g_conv_depthwise_bias(g, x, 5, 2, 2, "c"))
BACK(each_5, g_conv_depthwise_bias(g, x, 5, 1, 2, "c"))
BACK(each_7, g_conv_depthwise_bias(g, x, 7, 1, 3, "c"))
CHAIN(chain_each, g_conv_depthwise(g, x, 3, 1, 1, "c"))
CHAIN(chain_each_stride, g_conv_depthwise(g, x, 5, 2, 2, "c"))
BACK(groups_2, g_conv_groups(g, x, 32, 3, 1, 1, 2, "c"))
BACK(groups_stride, g_conv_groups(g, x, 224, 3, 2, 1, 2, "c"))
CHAIN(chain_groups, g_conv_groups(g, x, 21, 3, 1, 1, 3, "c"))
CHAIN(chain_groups_stride, g_conv_groups(g, x, 30, 3, 2, 1, 5, "c"))

static int inverted(graph *g, int x) /* MobileNetV2 */
{
    int c = g_channels(g, x), in = g_batchnorm(g, g_conv(g, x, c, 1, 1, 0, "p"), "pn");
    int y = g_relu6(g, g_batchnorm(g, g_conv(g, in, 3 * c, 1, 1, 0, "a"), "an"));
    y = g_relu6(g, g_batchnorm(g, g_conv_depthwise(g, y, 3, 1, 1, "b"), "bn"));
    return gradient(g, x, g_add(g, in, g_batchnorm(g, g_conv(g, y, c, 1, 1, 0, "c"), "cn")));
}
static int excited(graph *g, int x) /* EfficientNet */
{
    int y = g_silu(g, g_batchnorm(g, g_conv_depthwise(g, x, 5, 2, 2, "b"), "bn"));
    int v = g_silu(g, g_conv_bias(g, g_gap(g, y), 9, 1, 1, 0, "fc1"));
    y = g_gate(g, y, g_sigmoid(g, g_conv_bias(g, v, g_channels(g, y), 1, 1, 0, "fc2")));
    return gradient(g, x, g_batchnorm(g, g_conv(g, y, 24, 1, 1, 0, "c"), "cn"));
}

static const tiny_case groups[] = {
    { "depthwise 3x3", each_3, 16, 6, 19, 4, 0, 0 },
    { "depthwise 3x3 of one pixel", each_3, 16, 1, 1, 4, 0, 0 },
    { "depthwise 3x3, stride 2", each_3_stride, 35, 7, 8, 4, 0, 0 },
    { "depthwise 5x5, stride 2", each_5_stride, 24, 9, 11, 4, 0, 0 },
    { "depthwise 5x5, stride 2, to one pixel", each_5_stride, 24, 2, 1, 4, 0, 0 },
    { "depthwise 5x5", each_5, 20, 6, 11, 4, 0, 0 },
    { "depthwise 7x7", each_7, 40, 10, 9, 4, 0, 0 },
    { "norm, relu, depthwise 3x3, norm, relu", chain_each, 33, 10, 9, -1, 0, 0 },
    { "norm, relu, depthwise 5x5 of stride 2, norm, relu", chain_each_stride, 33, 10, 9, -1, 0, 0 },
    { "2 groups of 12", groups_2, 24, 5, 7, 4, 0, 0 },
    { "2 groups of 112, stride 2", groups_stride, 224, 4, 5, 4, 0, 0 },
    { "norm, relu, 3 groups, norm, relu", chain_groups, 15, 6, 4, -1, 0, 0 },
    { "norm, relu, 5 groups of stride 2, norm, relu", chain_groups_stride, 40, 6, 5, -1, 0, 0 },
    { "inverted residual", inverted, 12, 6, 7, -1, 0, 0 },
    { "squeeze and excitation", excited, 20, 7, 6, -1, 0, 0 },
};

static void groups_agree(void **state)
{
    (void)state;
    tiny_compare_all(groups, LENGTH(groups));
}

/* ---- pools and places ---- */

BACK(max_3, g_maxpool(g, x, 3, 2, 1, 0))
BACK(max_3_ceil, g_maxpool(g, x, 3, 2, 0, 1))
BACK(max_zero, g_maxpool_zero_pad(g, x, 3, 2, 1))
BACK(max_2, g_maxpool(g, x, 2, 2, 0, 0))
BACK(max_equal, g_maxpool(g, g_relu(g, x), 3, 2, 1, 0)) /* of many zeros the first */
BACK(max_equal_zero, g_maxpool_zero_pad(g, g_relu(g, x), 3, 2, 1))
BACK(max_between, g_maxpool(g, g_relu(g, g_conv(g, x, 20, 3, 1, 1, "c")), 3, 2, 1, 0))
BACK(avg_2, g_avgpool(g, x, 2, 2))
BACK(avg_2_ceil, g_avgpool_ceil(g, x, 2, 2))
BACK(avg_3_ceil, g_avgpool_ceil(g, x, 3, 2))
BACK(gap, g_gap(g, x))
BACK(slice, g_slice(g, x, 4, 6))
BACK(slice_odd, g_slice(g, x, 3, 5))
BACK(pad_crop, g_crop(g, g_conv(g, g_pad(g, x, 7, 9), 8, 3, 1, 1, "c"), 3, 4))
BACK(shortcut, g_shortcut_a(g, x, g_channels(g, x) + 10))
BACK(relu, g_relu(g, x))
BACK(relu6, g_relu6(g, x))
BACK(gelu, g_gelu(g, x))
BACK(silu, g_silu(g, x))
BACK(sigmoid, g_sigmoid(g, x))
BACK(bn, g_batchnorm(g, x, "bn"))
BACK(scale, g_scale(g, x, "gamma.weight"))
BACK(twice, g_add(g, g_gelu(g, x), g_add(g, x, x)))
static int concat(graph *g, int x)
{
    int parts[3] = { g_gelu(g, x), x, g_conv(g, x, 5, 1, 1, 0, "c") };
    return gradient(g, x, g_relu(g, g_concat(g, parts, 3)));
}

static const tiny_case places[] = {
    { "maximum of 3x3", max_3, 17, 7, 8, -1, 0, 0 },
    { "maximum of 3x3, up", max_3_ceil, 16, 6, 7, -1, 0, 0 },
    { "maximum with zeros around", max_zero, 12, 7, 6, -1, 0, 0 },
    { "maximum with zeros around, below 0", max_zero, 12, 6, 5, -1, -0.5f, 0 },
    { "maximum of 2x2", max_2, 21, 5, 6, -1, 0, 0 },
    { "maximum of equals", max_equal, 16, 9, 9, -1, -0.5f, 0 },
    { "maximum of equals with zeros around", max_equal_zero, 16, 9, 9, -1, -0.5f, 0 },
    { "maximum behind a convolution", max_between, 5, 9, 8, -1, 0, 0 },
    { "mean of 2x2", avg_2, 18, 5, 6, 4, 0, 0 },
    { "mean of 2x2, up", avg_2_ceil, 33, 5, 7, 4, 0, 0 },
    { "mean of 3x3, up", avg_3_ceil, 40, 6, 8, 4, 0, 0 },
    { "mean of a map", gap, 37, 9, 5, 4, 0, 0 },
    { "mean of one pixel", gap, 6, 1, 1, 4, 0, 0 },
    { "slice", slice, 13, 4, 3, 4, 0, 0 },
    { "odd slice", slice_odd, 13, 4, 3, 4, 0, 0 },
    { "pad, conv, crop", pad_crop, 6, 5, 6, 4, 0, 0 },
    { "shortcut A", shortcut, 6, 5, 7, 4, 0, 0 },
    { "relu", relu, 11, 4, 4, -1, 0, 0 },
    { "relu6", relu6, 16, 3, 2, -1, 4, 0 },
    { "gelu", gelu, 19, 7, 3, 4, 0, 0 },
    { "gelu of a vector", gelu, 40, 1, 1, 4, 0, 0 },
    { "silu", silu, 8, 3, 3, 4, 0, 0 },
    { "sigmoid", sigmoid, 8, 3, 3, 4, 0, 0 },
    { "batch norm", bn, 21, 5, 4, 4, 0, 0 },
    { "layer scale", scale, 30, 2, 7, 4, 0, 0 },
    { "x thrice", twice, 30, 2, 7, 6, 0, 0 },
    { "concatenation", concat, 12, 3, 5, -1, 0, 0 },
};

static void places_agree(void **state)
{
    (void)state;
    tiny_compare_all(places, LENGTH(places));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree),
        cmocka_unit_test(groups_agree),
        cmocka_unit_test(places_agree),
    };
    omp_set_num_threads(1); /* of the reference: a few hundred elements */
    return cmocka_run_group_tests_name("cpu gradients", tests, NULL, NULL);
}
