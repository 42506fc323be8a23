/* The network of `make demo`: a small residual network of our own, trained by
 * weights/train_demo.py on the procedural images of datalists/demo.
 *   input [3,32,32] -> features [64] pooled, logits [10] */
#include "extract/model.h"
#include "extract/models/stats.h"

static int conv_bn(graph *g, int x, int c, int kernel, int stride, const char *conv, const char *bn)
{
    return g_batchnorm(g, g_conv(g, x, c, kernel, stride, kernel / 2, conv), bn);
}

static void build(graph *g, const model *m, int classes)
{
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_relu(g, conv_bn(g, x, 16, 3, 1, "conv1", "bn1"));
    for (int l = 0; l < 3; l++) {
        for (int b = 0; b < 2; b++) {
            const char *at = g_name(g, "layer%d.%d", l + 1, b);
            int c = 16 << l, stride = l > 0 && b == 0 ? 2 : 1, skip = x;
            int y = g_relu(g, conv_bn(g, x, c, 3, stride, g_name(g, "%s.conv1", at),
                                      g_name(g, "%s.bn1", at)));
            y = conv_bn(g, y, c, 3, 1, g_name(g, "%s.conv2", at), g_name(g, "%s.bn2", at));
            if (stride != 1)
                skip = conv_bn(g, x, c, 1, stride, g_name(g, "%s.downsample.0", at),
                               g_name(g, "%s.downsample.1", at));
            x = g_relu(g, g_add(g, y, skip));
        }
        g_tap(g, x, g_name(g, "layer%d", l + 1));
    }
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
    g_head(g, "fc");
}

const model model_demo = {
    .name = "demo",
    .about = "small residual network of the embedded demo",
    .paper = "own; blocks of He et al., CVPR 2016, arXiv:1512.03385",
    .layouts = "outpost (weights/demo.safetensors)",
    .build = build,
    .prep = { .side = 32, .preset = "cifar", .resize_short = 32, .filter = RESIZE_BILINEAR,
              .mean = { 0.5f, 0.5f, 0.5f }, .std = { 0.25f, 0.25f, 0.25f } },
    .classifier = "fc",
    .classes = 10,
};
