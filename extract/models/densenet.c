/* DenseNets.  Huang et al., CVPR 2017, arXiv:1608.06993.
 *
 * DenseNet-BC for CIFAR, depth 100, growth 12, as in andreasveit's DenseNet3, the network of ReAct, DICE
 * and HIMPLoS:  input [3,32,32] -> features [342] pooled ReLU(bn1), logits [classes]
 * torchvision densenet121..201, table 1 of the paper:
 *   input [3,224,224] -> features [1024 for 121] pooled ReLU(norm5), logits [1000]
 * Layer: z <- concat(z, conv2(ReLU(BN2(conv1(ReLU(BN1(z))))))): old channels first. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

static int bn_relu(graph *g, int x, const char *name)
{
    return g_relu(g, g_batchnorm(g, x, name));
}

/* Keys: AT.BN1, AT.conv1, AT.BN2, AT.conv2. */
static int dense_layer(graph *g, int z, int growth, const char *bn, const char *at)
{
    int parts[2] = { z, 0 };
    int y = bn_relu(g, z, g_name(g, "%s.%s1", at, bn));
    y = g_conv(g, y, 4 * growth, 1, 1, 0, g_name(g, "%s.conv1", at));
    y = bn_relu(g, y, g_name(g, "%s.%s2", at, bn));
    parts[1] = g_conv(g, y, growth, 3, 1, 1, g_name(g, "%s.conv2", at));
    return g_concat(g, parts, 2);
}

static int transition(graph *g, int x, const char *bn, const char *conv)
{
    x = bn_relu(g, x, bn);
    return g_avgpool(g, g_conv(g, x, g_channels(g, x) / 2, 1, 1, 0, conv), 2, 2);
}

static void head(graph *g, int x, int classes, const char *name)
{
    x = g_tap(g, g_relu(g, x), "relu"); /* what hooks on the norm before it see: it works in place */
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, name));
    g_head(g, name);
}

/* ---- CIFAR ------------------------------------------------------------------------------------- */

static void build_cifar(graph *g, const model *m, int classes)
{
    enum { GROWTH = 12, LAYERS = 16 };
    int x = g_conv(g, g_input(g, 3, m->prep.side, m->prep.side), 2 * GROWTH, 3, 1, 1, "conv1");
    for (int b = 1; b <= 3; b++) {
        for (int i = 0; i < LAYERS; i++)
            x = dense_layer(g, x, GROWTH, "bn", g_name(g, "block%d.layer.%d", b, i));
        g_tap(g, x, g_name(g, "block%d", b));
        if (b == 3) break;
        x = transition(g, x, g_name(g, "trans%d.bn1", b), g_name(g, "trans%d.conv1", b));
        g_tap(g, x, g_name(g, "trans%d", b));
    }
    head(g, g_tap(g, g_batchnorm(g, x, "bn1"), "bn1"), classes, "fc"); /* bn1 is signed */
}

const model model_densenet_bc_100_12 = {
    .name = "densenet_bc_100_12",
    .about = "CIFAR DenseNet-BC, depth 100, growth 12",
    .paper = "Huang et al., CVPR 2017, arXiv:1608.06993",
    .layouts = "ReAct, DICE, HIMPLoS, OpenOOD DenseNet3",
    .build = build_cifar,
    .prep = { .side = 32, .preset = "cifar", .resize_short = 32, .filter = RESIZE_BILINEAR,
              CIFAR_DICE_STATS },
    .classifier = "fc",
    .classes = 100,
};

/* ---- torchvision ------------------------------------------------------------------------------- */

typedef struct densenet_cfg {
    int stem, growth, layers[4];
} densenet_cfg;

static void build(graph *g, const model *m, int classes)
{
    const densenet_cfg *cfg = m->cfg;
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = bn_relu(g, g_conv(g, x, cfg->stem, 7, 2, 3, "features.conv0"), "features.norm0");
    x = g_tap(g, g_maxpool(g, x, 3, 2, 1, 0), "features.pool0");
    for (int b = 1; b <= 4; b++) {
        const char *block = g_name(g, "features.denseblock%d", b);
        const char *trans = g_name(g, "features.transition%d", b);
        for (int i = 1; i <= cfg->layers[b - 1]; i++)
            x = dense_layer(g, x, cfg->growth, "norm", g_name(g, "%s.denselayer%d", block, i));
        g_tap(g, x, block);
        if (b == 4) break;
        x = transition(g, x, g_name(g, "%s.norm", trans), g_name(g, "%s.conv", trans));
        g_tap(g, x, trans);
    }
    x = g_tap(g, g_batchnorm(g, x, "features.norm5"), "features.norm5"); /* signed */
    head(g, x, classes, "classifier");
}

#define DENSENET(depth, stem, growth, ...)                                                         \
    const model model_densenet##depth = {                                                          \
        .name = "densenet" #depth,                                                                 \
        .about = "torchvision DenseNet-" #depth,                                                   \
        .paper = "Huang et al., CVPR 2017, arXiv:1608.06993",                                      \
        .layouts = "torchvision, also with the dotted names of the published files",               \
        .build = build,                                                                            \
        .cfg = &(const densenet_cfg){ stem, growth, { __VA_ARGS__ } },                             \
        .prep = TORCHVISION_224,                                                                   \
        .classifier = "classifier",                                                                \
        .classes = 1000,                                                                           \
        .key_layouts = layouts_densenet121,                                                        \
    }

DENSENET(121, 64, 32, 6, 12, 24, 16);
DENSENET(161, 96, 48, 6, 12, 36, 24);
DENSENET(169, 64, 32, 6, 12, 32, 32);
DENSENET(201, 64, 32, 6, 12, 48, 32);
