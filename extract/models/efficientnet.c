/* EfficientNet-B0.  Tan and Le, ICML 2019, arXiv:1905.11946, table 1, as torchvision has it.
 *   input [3,224,224] -> features [1280] pooled features.8, logits [1000]
 * SiLU everywhere, also inside squeeze-and-excitation; the blocks' outputs features.1..7 are signed. */
#include "extract/model.h"
#include "extract/models/stats.h"

static int conv_bn(graph *g, int x, int c, int kernel, int stride, const char *at)
{
    x = g_conv(g, x, c, kernel, stride, kernel / 2, g_name(g, "%s.0", at));
    return g_batchnorm(g, x, g_name(g, "%s.1", at));
}

static int squeeze_excite(graph *g, int x, int squeezed, const char *at)
{
    int c = g_channels(g, x);
    int v = g_silu(g, g_conv_bias(g, g_gap(g, x), squeezed, 1, 1, 0, g_name(g, "%s.fc1", at)));
    v = g_sigmoid(g, g_conv_bias(g, v, c, 1, 1, 0, g_name(g, "%s.fc2", at)));
    return g_gate(g, x, v);
}

/* Expand 1x1 (absent for t = 1), depth-wise, squeeze and excite, linear 1x1; keys count the parts
 * that exist.  The squeezed width is a quarter of the block's input. */
static int mbconv(graph *g, int x, int t, int c, int kernel, int stride, const char *at)
{
    int y = x, part = 0, cin = g_channels(g, x);
    if (t != 1) y = g_silu(g, conv_bn(g, y, t * cin, 1, 1, g_name(g, "%s.block.%d", at, part++)));
    y = g_conv_depthwise(g, y, kernel, stride, kernel / 2, g_name(g, "%s.block.%d.0", at, part));
    y = g_silu(g, g_batchnorm(g, y, g_name(g, "%s.block.%d.1", at, part)));
    y = squeeze_excite(g, y, cin / 4, g_name(g, "%s.block.%d", at, part + 1));
    y = conv_bn(g, y, c, 1, 1, g_name(g, "%s.block.%d", at, part + 2));
    return stride == 1 && cin == c ? g_add(g, y, x) : y;
}

static void build(graph *g, const model *m, int classes)
{
    static const struct {
        int t, c, n, stride, kernel;
    } stages[] = { { 1, 16, 1, 1, 3 },  { 6, 24, 2, 2, 3 },  { 6, 40, 2, 2, 5 }, { 6, 80, 3, 2, 3 },
                   { 6, 112, 3, 1, 5 }, { 6, 192, 4, 2, 5 }, { 6, 320, 1, 1, 3 } };
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_tap(g, g_silu(g, conv_bn(g, x, 32, 3, 2, "features.0")), "features.0");
    for (int i = 0; i < 7; i++) {
        const char *stage = g_name(g, "features.%d", i + 1);
        for (int j = 0; j < stages[i].n; j++)
            x = mbconv(g, x, stages[i].t, stages[i].c, stages[i].kernel,
                       j == 0 ? stages[i].stride : 1, g_name(g, "%s.%d", stage, j));
        g_tap(g, x, stage);
    }
    x = g_tap(g, g_silu(g, conv_bn(g, x, 1280, 1, 1, "features.8")), "features.8");
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "classifier.1"));
    g_head(g, "classifier.1");
}

const model model_efficientnet_b0 = {
    .name = "efficientnet_b0",
    .about = "torchvision EfficientNet-B0",
    .paper = "Tan and Le, ICML 2019, arXiv:1905.11946",
    .layouts = "torchvision",
    .build = build,
    .prep = { .side = 224, .preset = "torchvision", .resize_short = 256, .filter = RESIZE_BICUBIC,
              IMAGENET_STATS },
    .classifier = "classifier.1",
    .classes = 1000,
};
