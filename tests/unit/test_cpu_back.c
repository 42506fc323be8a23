/* The CPU backend's gradients against the reference, through networks of a few nodes: forward, then backward from a
 * given cotangent, in every geometry of the networks: strides, odd sides, channels that fill no vector, groups, one
 * pixel, sums before and behind masks. */
#include "extract/adjoint.h"
#include "tests/unit/tiny_net.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* A gradient at y without pattern: factors of channels times a curve of y itself. */
static int cotangent_like(graph *g, int y)
{
    return g_scale(g, g_silu(g, y), "cotangent.weight");
}

/* The gradient at x of a scalar whose gradient at y is without pattern. */
static int gradient(graph *g, int x, int y)
{
    int out;
    graph_backward(g, y, cotangent_like(g, y), &x, 1, &out);
    return out;
}

/* x itself is behind a layer, so that its gradient is a map among others. */
#define BACK(name, expression)                                                                     \
    static int name(graph *g, int x)                                                               \
    {                                                                                              \
        return gradient(g, x, expression);                                                         \
    }
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

/* ---- norms, tokens, attention -------------------------------------------------------------------- */

BACK(layernorm, g_layernorm(g, x, 1e-6f, "n"))
BACK(layernorm_sum, g_add(g, x, g_gelu(g, g_layernorm(g, x, 1e-6f, "n"))))
BACK(groupnorm, g_groupnorm(g, x, 4, "n"))
BACK(groupnorm_sum, g_add(g, x, g_silu(g, g_groupnorm(g, x, 4, "n"))))
BACK(embed, g_embed(g, x, "cls.token", "pos.token"))
BACK(token, g_token(g, g_gelu(g, x), 3))
BACK(unfold, g_unfold(g, x, 7, 4, 2))
BACK(unfold_3, g_unfold(g, x, 3, 2, 1))
BACK(merge, g_merge(g, x))
BACK(attention_2, g_attention(g, x, 2, 0.35f))
BACK(attention_one, g_attention(g, x, 1, 0.125f))
BACK(performer, g_performer(g, x, 20, "w.features"))
static int window(graph *g, int x)
{
    return gradient(g, x, g_window_attention(g, x, 2, 3, 0, "table"));
}
static int window_shift(graph *g, int x)
{
    return gradient(g, x, g_window_attention(g, x, 3, 4, 2, "table"));
}

static int block(graph *g, int x) /* of a transformer */
{
    int c = g_channels(g, x);
    int y = g_linear(g, g_layernorm(g, x, 1e-6f, "n1"), 3 * c, "qkv");
    x = g_add(g, x, g_linear(g, g_attention(g, y, 2, 0.3f), c, "proj"));
    y = g_gelu(g, g_linear(g, g_layernorm(g, x, 1e-6f, "n2"), 4 * c, "fc1"));
    return g_add(g, x, g_linear(g, y, c, "fc2"));
}
static int transformer(graph *g, int x)
{
    int t = g_embed(g, g_conv_bias(g, x, 24, 4, 4, 0, "patch"), "cls.token", "pos.token");
    return gradient(g, x, g_token(g, g_layernorm(g, block(g, t), 1e-6f, "last"), 0));
}
static int scaled_block(graph *g, int x) /* ConvNeXt */
{
    int c = g_channels(g, x), in = g_conv_bias(g, x, c, 1, 1, 0, "first");
    int y = g_layernorm(g, g_conv_depthwise_bias(g, in, 7, 1, 3, "d"), 1e-6f, "n");
    y = g_linear(g, g_gelu(g, g_linear(g, y, 4 * c, "fc1")), c, "fc2");
    return gradient(g, x, g_add(g, in, g_scale(g, y, "gamma.weight")));
}
static int bit_block(graph *g, int x)
{
    int a = g_relu(g, g_groupnorm(g, x, 4, "n1"));
    int y = g_conv_standardised(g, a, 16, 1, 1, 0, "c1");
    y = g_conv_standardised(g, g_relu(g, g_groupnorm(g, y, 4, "n2")), 16, 3, 2, 1, "c2");
    y = g_conv_standardised(g, g_relu(g, g_groupnorm(g, y, 4, "n3")), 40, 1, 1, 0, "c3");
    return gradient(g, x, g_add(g, g_conv_standardised(g, a, 40, 1, 2, 0, "d"), y));
}

static const tiny_case tokens[] = {
    { "layer norm", layernorm, 40, 5, 4, 4, 0, 0 },
    { "layer norm of a vector", layernorm, 70, 1, 1, 4, 0, 0 },
    { "layer norm in a sum", layernorm_sum, 33, 5, 4, 6, 0, 0 },
    { "group norm", groupnorm, 36, 9, 7, 4, 0, 0 },
    { "group norm of many pixels", groupnorm, 64, 20, 21, 4, 0, 0 },
    { "group norm in a sum", groupnorm_sum, 20, 9, 4, 6, 0, 0 },
    { "class token and positions", embed, 20, 4, 3, 4, 0, 0 },
    { "one token", token, 20, 4, 3, 6, 0, 0 },
    { "unfold 7x7", unfold, 3, 16, 13, 4, 0, 0 },
    { "unfold 3x3", unfold_3, 8, 9, 8, 4, 0, 0 },
    { "merge", merge, 10, 6, 8, 4, 0, 0 },
    { "merge of odd sides", merge, 10, 5, 7, 4, 0, 0 },
    { "merge to a vector", merge, 10, 2, 2, 4, 0, 0 },
    { "attention of 2 heads", attention_2, 48, 17, 1, 6, 0, 0 },
    { "attention of 197 tokens", attention_2, 3 * 128, 197, 1, 6, 0, 0 },
    { "attention of many tokens", attention_one, 3 * 20, 30, 30, 6, 0, 0 },
    { "attention of one token", attention_2, 24, 1, 1, 6, 0, 0 },
    { "windows", window, 36, 6, 9, 6, 0, 0 },
    { "shifted windows", window_shift, 3 * 30, 8, 12, 6, 0, 0 },
    { "performer", performer, 3 * 24, 20, 19, 8, 0, 0 },
    { "transformer", transformer, 3, 16, 12, 24, 0, 0 },
    { "block of ConvNeXt", scaled_block, 20, 9, 8, 12, 0, 0 },
    { "block of BiT", bit_block, 24, 9, 8, -1, 0, 0 },
};

static void tokens_agree(void **state)
{
    (void)state;
    tiny_compare_all(tokens, LENGTH(tokens));
}

/* ---- probes -------------------------------------------------------------------------------------- */

static int vector(graph *g, int x) { return g_linear(g, g_gap(g, x), 15, "fc"); }
static int cotangent_ce(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_CE, 3, 0); }
static int cotangent_uniform(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_UNIFORM, 1, 0); }
static int cotangent_lse(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_LOGSUMEXP, 1, 0); }
static int cotangent_max(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_MAX, 1, 0); }
static int cotangent_logit(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_LOGIT, 1, 4); }
static int sum(graph *g, int x) { return g_sum(g, x); }

static int gaussian(graph *g, int x)
{
    enum { D = 15, CLASSES = 6 };
    static float means[CLASSES * D], inverse[D * D];
    for (int i = 0; i < CLASSES * D; i++)
        means[i] = (float)((i * 37 % 101) - 50) / 60;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++)
            inverse[i * D + j] = (i == j ? 3.0f : 0.0f) + (float)((i + 1) * (j + 1) % 7) / 20;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < i; j++)
            inverse[i * D + j] = inverse[j * D + i];
    return g_gaussian(g, vector(g, x), g_constant(g, "m", 2, (int[]){ CLASSES, D }, means),
                      g_constant(g, "p", 2, (int[]){ D, D }, inverse));
}

/* x changed by its gradient of a scalar of two layers. */
static int perturbed(graph *g, int x, perturb_kind kind, float share)
{
    static const float divisor[] = { 0.5f, 1, 2 };
    int back, y = vector(g, g_silu(g, g_conv_bias(g, x, 10, 3, 1, 1, "c")));
    graph_backward(g, y, g_cotangent(g, y, COTANGENT_CE, 1, 0), &x, 1, &back);
    return g_perturb(g, x, back, kind, 0.25f, share, divisor);
}
static int perturb_sign(graph *g, int x) { return perturbed(g, x, PERTURB_SIGN, 0); }
static int perturb_sign_0(graph *g, int x) { return perturbed(g, x, PERTURB_SIGN0, 0); }
static int perturb_largest(graph *g, int x) { return perturbed(g, x, PERTURB_LARGEST, 0); }
static int perturb_smallest(graph *g, int x) { return perturbed(g, x, PERTURB_SMALLEST, 0.3f); }
static int perturb_fgsm(graph *g, int x) { return perturbed(g, x, PERTURB_FGSM, 0); }
/* ReLU leaves zeros, which are equal: the first ones in the order of [c,h,w] go first. */
static int perturb_ties(graph *g, int x)
{
    int back, y = g_relu(g, g_conv_depthwise(g, x, 1, 1, 0, "c"));
    graph_backward(g, y, g_silu(g, y), &x, 1, &back);
    return g_perturb(g, x, back, PERTURB_SMALLEST, 0.25f, 0.2f, NULL);
}
/* ODIN: the network again, on an image changed by its gradient. */
static int again(graph *g, int x)
{
    int back, to, out, y = vector(g, g_silu(g, g_batchnorm(g, g_conv(g, x, 20, 3, 2, 1, "c"), "n")));
    graph_backward(g, y, g_cotangent(g, y, COTANGENT_CE, 1, 0), &x, 1, &back);
    to = g_perturb(g, x, back, PERTURB_SIGN, 0.25f, 0, NULL);
    graph_replay(g, &(replay){ .from = &x, .to = &to, .n = 1 }, &y, 1, &out);
    return g_add(g, y, out);
}
static int gram(graph *g, int x) { return g_gram(g, x, 4); }

static const tiny_case probes[] = {
    { "cross entropy", cotangent_ce, 9, 4, 3, 4, 0, 0 },
    { "to the uniform distribution", cotangent_uniform, 9, 4, 3, 4, 0, 0 },
    { "log-sum-exp", cotangent_lse, 9, 4, 3, 4, 0, 0 },
    { "largest logit", cotangent_max, 9, 4, 3, -1, 0, 0 },
    { "one logit", cotangent_logit, 9, 4, 3, 4, 0, 0 },
    { "sum", sum, 40, 5, 7, 4, 0, 0 },
    { "Gaussian score", gaussian, 9, 4, 3, -1, 0, 0 },
    { "sign", perturb_sign, 3, 7, 6, -1, 0, 0 },
    { "sign or zero", perturb_sign_0, 3, 7, 6, -1, 0, 0 },
    { "largest gradient", perturb_largest, 3, 7, 6, -1, 0, 0 },
    { "smallest gradients", perturb_smallest, 3, 7, 6, -1, 0, 0 },
    { "smallest gradients of equals", perturb_ties, 3, 7, 6, -1, 0, 0 },
    { "FGSM", perturb_fgsm, 3, 7, 6, -1, 0, 0 },
    { "the network again", again, 3, 7, 6, -1, 0, 0 },
    { "Gram matrices", gram, 33, 5, 7, 8, 0, 0 },
};

static void probes_agree(void **state)
{
    (void)state;
    tiny_compare_all(probes, LENGTH(probes));
}

/* What the second forward multiplies by is packed once: its steps bring no weights. */
static void twins_share_weights(void **state)
{
    static const tiny_case c = { "again", again, 3, 7, 6, -1, 0, 0 };
    tiny_net t;
    plan *p = NULL;
    int twins = 0;
    (void)state;
    tiny_open(&t, &c, 0);
    tiny_must(plan_build(&p, t.g, t.w, t.requests, 1, PLAN_GRADIENTS), "plan");
    for (size_t i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        if (s->twin < 0) continue;
        twins++;
        assert_null(s->w);
        assert_int_equal(p->steps[s->twin].op, s->op);
        assert_string_equal(p->steps[s->twin].name, s->name);
        assert_non_null(p->steps[s->twin].w);
    }
    assert_int_equal(twins, 2); /* c and fc */
    plan_free(&p);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree),
        cmocka_unit_test(groups_agree),
        cmocka_unit_test(places_agree),
        cmocka_unit_test(tokens_agree),
        cmocka_unit_test(probes_agree),
        cmocka_unit_test(twins_share_weights),
    };
    return cmocka_run_group_tests_name("cpu gradients", tests, NULL, NULL);
}
