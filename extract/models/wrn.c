/* Wide residual networks for CIFAR.  Zagoruyko and Komodakis, BMVC 2016, arXiv:1605.07146, in the
 * code that outlier exposure, energy_ood, pytorch-ood and OpenOOD share (models.md 7.3).
 *   input [3,32,32] -> features [64 width] pooled ReLU(bn1), logits [classes]
 * Blocks end in signed sums; a projection reads the pre-activated tensor. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

typedef struct wrn_cfg {
    int depth, width;
} wrn_cfg;

static int bn_relu(graph *g, int x, const char *at, int i)
{
    return g_relu(g, g_batchnorm(g, x, g_name(g, "%s.bn%d", at, i)));
}

static int block(graph *g, int x, int c, int stride, const char *at)
{
    int a = bn_relu(g, x, at, 1), skip = x, y;
    if (g_channels(g, x) != c)
        skip = g_conv(g, a, c, 1, stride, 0, g_name(g, "%s.convShortcut", at));
    y = g_conv(g, a, c, 3, stride, 1, g_name(g, "%s.conv1", at));
    y = g_conv(g, bn_relu(g, y, at, 2), c, 3, 1, 1, g_name(g, "%s.conv2", at));
    return g_add(g, y, skip);
}

static void build(graph *g, const model *m, int classes)
{
    const wrn_cfg *cfg = m->cfg;
    int x = g_conv(g, g_input(g, 3, m->prep.side, m->prep.side), 16, 3, 1, 1, "conv1");
    for (int l = 0; l < 3; l++) {
        for (int b = 0; b < (cfg->depth - 4) / 6; b++)
            x = block(g, x, (16 << l) * cfg->width, l > 0 && b == 0 ? 2 : 1,
                      g_name(g, "block%d.layer.%d", l + 1, b));
        g_tap(g, x, g_name(g, "block%d", l + 1));
    }
    x = g_tap(g, g_batchnorm(g, x, "bn1"), "bn1"); /* signed; hooks on it see `relu` */
    x = g_tap(g, g_relu(g, x), "relu");
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
    g_head(g, "fc");
}

#define WRN(depth, width)                                                                          \
    const model model_wrn_##depth##_##width = {                                                    \
        .name = "wrn_" #depth "_" #width,                                                          \
        .about = "CIFAR WideResNet-" #depth "-" #width,                                            \
        .paper = "Zagoruyko and Komodakis, BMVC 2016, arXiv:1605.07146",                           \
        .layouts = "outlier exposure, energy_ood, pytorch-ood, OpenOOD, pixmix",                   \
        .build = build,                                                                            \
        .cfg = &(const wrn_cfg){ depth, width },                                                   \
        .prep = { .side = 32, .preset = "cifar", .resize_short = 32, .filter = RESIZE_BILINEAR,    \
                  CIFAR_OE_STATS },                                                                \
        .classifier = "fc",                                                                        \
        .classes = 10,                                                                             \
        .key_layouts = layouts_wrn,                                                                \
    }

WRN(40, 2);
WRN(28, 10);
