/* MobileNetV2.  Sandler et al., CVPR 2018, arXiv:1801.04381, table 2, as torchvision has it.
 *   input [3,224,224] -> features [1280] pooled features.18, logits [1000]
 * features.0 and 18 end in ReLU6 and lie in [0,6]; 1..17 are linear bottlenecks and signed. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

static int conv_bn(graph *g, int x, int c, int kernel, int stride, const char *conv, const char *bn)
{
    return g_batchnorm(g, g_conv(g, x, c, kernel, stride, kernel / 2, conv), bn);
}

/* Expand 1x1 (absent for t = 1), depth-wise 3x3, linear 1x1; keys count the parts that exist. */
static int inverted_residual(graph *g, int x, int t, int c, int stride, const char *at)
{
    int y = x, part = 0, cin = g_channels(g, x);
    if (t != 1) {
        y = g_relu6(g, conv_bn(g, y, t * cin, 1, 1, g_name(g, "%s.conv.0.0", at),
                               g_name(g, "%s.conv.0.1", at)));
        part = 1;
    }
    y = g_conv_depthwise(g, y, 3, stride, 1, g_name(g, "%s.conv.%d.0", at, part));
    y = g_relu6(g, g_batchnorm(g, y, g_name(g, "%s.conv.%d.1", at, part)));
    y = conv_bn(g, y, c, 1, 1, g_name(g, "%s.conv.%d", at, part + 1),
                g_name(g, "%s.conv.%d", at, part + 2));
    return stride == 1 && cin == c ? g_add(g, x, y) : y;
}

static void build(graph *g, const model *m, int classes)
{
    static const struct {
        int t, c, n, s;
    } stages[] = { { 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 },  { 6, 64, 4, 2 },
                   { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 } };
    int index = 0, x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_relu6(g, conv_bn(g, x, 32, 3, 2, "features.0.0", "features.0.1"));
    g_tap(g, x, "features.0");
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        for (int j = 0; j < stages[i].n; j++) {
            const char *at = g_name(g, "features.%d", ++index);
            x = inverted_residual(g, x, stages[i].t, stages[i].c, j == 0 ? stages[i].s : 1, at);
            g_tap(g, x, at);
        }
    x = g_relu6(g, conv_bn(g, x, 1280, 1, 1, "features.18.0", "features.18.1"));
    g_tap(g, x, "features.18");
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "classifier.1"));
    g_head(g, "classifier.1");
}

const model model_mobilenet_v2 = {
    .name = "mobilenet_v2",
    .about = "torchvision MobileNetV2 1.0",
    .paper = "Sandler et al., CVPR 2018, arXiv:1801.04381",
    .layouts = "torchvision (V1 and V2 weights), d-li14",
    .build = build,
    .prep = TORCHVISION_224,
    .classifier = "classifier.1",
    .key_layouts = layouts_mobilenet_v2,
    .classes = 1000,
};
