/* RepVGG.  Ding et al., CVPR 2021, arXiv:2101.03697, table 2, as timm has it (models.md 4.1).
 *   input [3,224,224] -> features [2560 for B3] pooled ReLU outputs, logits [1000]
 * Built in the form it is trained in: y = ReLU(BN(conv1x1 x) + BN(conv3x3 x) [+ BN(x)]), one
 * convolution per block after extract/plan_branches.c.  Variant 1 is the form that others have already
 * folded: one convolution with bias. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

typedef struct repvgg_cfg {
    int blocks[4];
    int stem, widths[4]; /* channels */
} repvgg_cfg;

static int conv_bn(graph *g, int x, int c, int kernel, int stride, const char *at, const char *part)
{
    x = g_conv(g, x, c, kernel, stride, kernel / 2, g_name(g, "%s.%s.conv", at, part));
    return g_batchnorm(g, x, g_name(g, "%s.%s.bn", at, part));
}

static int block(graph *g, const model *m, int x, int c, int stride, const char *at)
{
    int y;
    if (m->variant == 1)
        return g_relu(g, g_conv_bias(g, x, c, 3, stride, 1, g_name(g, "%s.reparam", at)));
    y = g_add(g, conv_bn(g, x, c, 1, stride, at, "conv_1x1"),
              conv_bn(g, x, c, 3, stride, at, "conv_kxk"));
    if (stride == 1 && g_channels(g, x) == c)
        y = g_add(g, y, g_batchnorm(g, x, g_name(g, "%s.identity", at)));
    return g_relu(g, y);
}

static void build(graph *g, const model *m, int classes)
{
    const repvgg_cfg *cfg = m->cfg;
    int x = block(g, m, g_input(g, 3, m->prep.side, m->prep.side), cfg->stem, 2, "stem");
    g_tap(g, x, "stem");
    for (int s = 0; s < 4; s++) {
        for (int b = 0; b < cfg->blocks[s]; b++)
            x = block(g, m, x, cfg->widths[s], b == 0 ? 2 : 1, g_name(g, "stages.%d.%d", s, b));
        g_tap(g, x, g_name(g, "stages.%d", s));
    }
    x = g_gap(g, x);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "head.fc"));
    g_head(g, "head.fc");
}

#define A { 2, 4, 14, 1 }
#define B { 4, 6, 16, 1 }
#define REPVGG(id, size, blocks, stem, ...)                                                        \
    const model model_repvgg_##id = {                                                              \
        .name = "repvgg_" #id,                                                                     \
        .about = "timm RepVGG-" size,                                                              \
        .paper = "Ding et al., CVPR 2021, arXiv:2101.03697",                                       \
        .layouts = "timm and RepVGG's release, as trained or re-parameterised",                    \
        .build = build,                                                                            \
        .cfg = &(const repvgg_cfg){ blocks, stem, { __VA_ARGS__ } },                               \
        .prep = { .side = 224, .preset = "gen", .resize_short = 256, .filter = RESIZE_BILINEAR,    \
                  .recipe = "timm", IMAGENET_STATS },                                              \
        .classifier = "head.fc",                                                                   \
        .classes = 1000,                                                                           \
        .key_layouts = layouts_repvgg,                                                             \
    }

REPVGG(a0, "A0", A, 48, 48, 96, 192, 1280);
REPVGG(a1, "A1", A, 64, 64, 128, 256, 1280);
REPVGG(a2, "A2", A, 64, 96, 192, 384, 1408);
REPVGG(b0, "B0", B, 64, 64, 128, 256, 1280);
REPVGG(b1, "B1", B, 64, 128, 256, 512, 2048);
REPVGG(b2, "B2", B, 64, 160, 320, 640, 2560);
REPVGG(b3, "B3", B, 64, 192, 384, 768, 2560);
