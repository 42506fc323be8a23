/* DenseNet-BC for CIFAR, depth 100, growth 12.  Huang et al., CVPR 2017, arXiv:1608.06993, as in
 * andreasveit's DenseNet3, the network of ReAct, DICE and HIMPLoS.
 *   input [3,32,32] -> features [342] pooled ReLU(bn1), logits [classes]
 * Layer: z <- concat(z, conv2(ReLU(BN2(conv1(ReLU(BN1(z))))))): old channels first. */
#include "extract/model.h"
#include "extract/models/stats.h"

enum { GROWTH = 12, LAYERS = 16 };

static int bn_relu(graph *g, int x, const char *name)
{
    return g_relu(g, g_batchnorm(g, x, name));
}

static int dense_layer(graph *g, int z, const char *at)
{
    int parts[2] = { z, 0 };
    int y = bn_relu(g, z, g_name(g, "%s.bn1", at));
    y = g_conv(g, y, 4 * GROWTH, 1, 1, 0, g_name(g, "%s.conv1", at));
    y = bn_relu(g, y, g_name(g, "%s.bn2", at));
    parts[1] = g_conv(g, y, GROWTH, 3, 1, 1, g_name(g, "%s.conv2", at));
    return g_concat(g, parts, 2);
}

static void build(graph *g, const model *m, int classes)
{
    int x = g_conv(g, g_input(g, 3, m->prep.side, m->prep.side), 2 * GROWTH, 3, 1, 1, "conv1");
    for (int b = 1; b <= 3; b++) {
        for (int i = 0; i < LAYERS; i++)
            x = dense_layer(g, x, g_name(g, "block%d.layer.%d", b, i));
        g_tap(g, x, g_name(g, "block%d", b));
        if (b == 3) break;
        x = bn_relu(g, x, g_name(g, "trans%d.bn1", b));
        x = g_conv(g, x, g_channels(g, x) / 2, 1, 1, 0, g_name(g, "trans%d.conv1", b));
        x = g_tap(g, g_avgpool(g, x, 2, 2), g_name(g, "trans%d", b));
    }
    x = g_tap(g, g_batchnorm(g, x, "bn1"), "bn1"); /* signed; hooks on it see `relu` */
    x = g_tap(g, g_relu(g, x), "relu");
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
    g_head(g, "fc");
}

const model model_densenet_bc_100_12 = {
    .name = "densenet_bc_100_12",
    .about = "CIFAR DenseNet-BC, depth 100, growth 12",
    .paper = "Huang et al., CVPR 2017, arXiv:1608.06993",
    .layouts = "ReAct, DICE, HIMPLoS, OpenOOD DenseNet3",
    .build = build,
    .prep = { .side = 32, .preset = "cifar", .resize_short = 32, .filter = RESIZE_BILINEAR,
              CIFAR_DICE_STATS },
    .classifier = "fc",
    .classes = 100,
};
