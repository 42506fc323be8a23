/* SqueezeNet.  Iandola et al., arXiv:1602.07360, table 1, as torchvision has it: pools in ceil mode,
 * classifier = 1x1 convolution, ReLU, global average, so every logit is >= 0.
 *   input [3,224,224] -> logits [1000]
 * There is no vector that a linear layer turns into logits.  `features` is the spatial mean [512] of
 * the map that enters the classifier; logits are not W features + b and no /head is stored. */
#include "extract/model.h"
#include "extract/models/stats.h"

typedef struct squeezenet_cfg {
    int stem_channels, stem_kernel;
    int layers[11]; /* features.2 and on: 0 = pool, else squeeze width */
} squeezenet_cfg;

static int fire(graph *g, int x, int squeeze, int expand, const char *at)
{
    int e[2];
    x = g_relu(g, g_conv_bias(g, x, squeeze, 1, 1, 0, g_name(g, "%s.squeeze", at)));
    e[0] = g_relu(g, g_conv_bias(g, x, expand, 1, 1, 0, g_name(g, "%s.expand1x1", at)));
    e[1] = g_relu(g, g_conv_bias(g, x, expand, 3, 1, 1, g_name(g, "%s.expand3x3", at)));
    return g_concat(g, e, 2);
}

static void build(graph *g, const model *m, int classes)
{
    const squeezenet_cfg *cfg = m->cfg;
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_relu(g, g_conv_bias(g, x, cfg->stem_channels, cfg->stem_kernel, 2, 0, "features.0"));
    for (int i = 0; i < 11; i++) {
        const char *at = g_name(g, "features.%d", i + 2);
        x = cfg->layers[i] == 0 ? g_maxpool(g, x, 3, 2, 0, 1)
                                : fire(g, x, cfg->layers[i], 4 * cfg->layers[i], at);
        g_tap(g, x, at);
    }
    g_features(g, g_tap(g, g_gap(g, x), "features.12.mean"));
    x = g_relu(g, g_conv_bias(g, x, classes, 1, 1, 0, "classifier.1"));
    g_logits(g, g_gap(g, x));
}

#define SQUEEZENET(version, digits, c, k, ...)                                                     \
    const model model_squeezenet##version = {                                                      \
        .name = "squeezenet" #version,                                                             \
        .about = "torchvision SqueezeNet " digits,                                                 \
        .paper = "Iandola et al., arXiv:1602.07360",                                               \
        .layouts = "torchvision",                                                                  \
        .build = build,                                                                            \
        .cfg = &(const squeezenet_cfg){ c, k, { __VA_ARGS__ } },                                   \
        .prep = TORCHVISION_224,                                                                   \
        .classifier = "classifier.1",                                                              \
        .classes = 1000,                                                                           \
    }

SQUEEZENET(1_0, "1.0", 96, 7, 0, 16, 16, 32, 0, 32, 48, 48, 64, 0, 64);
SQUEEZENET(1_1, "1.1", 64, 3, 0, 16, 16, 0, 32, 32, 0, 48, 48, 64, 64);
