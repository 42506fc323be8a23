/* RegNetY: residual bottlenecks with grouped convolutions and squeeze-and-excitation.  Radosavovic et
 * al., CVPR 2020, arXiv:2003.13678, section 4 and table 5, as torchvision has it.
 *   input [3,224,224] -> features [last width] pooled trunk_output, logits [1000]
 * Block names contain a dash: trunk_output.block3.block3-10.f.b.0.weight. */
#include "extract/model.h"
#include "extract/models/stats.h"

typedef struct regnet_cfg {
    int group; /* channels of a group */
    int blocks[4], widths[4];
} regnet_cfg;

enum { STEM = 32, SE_PART = 4 };

static int conv_bn(graph *g, int x, int c, int kernel, int stride, int groups, const char *at)
{
    x = g_conv_groups(g, x, c, kernel, stride, kernel / 2, groups, g_name(g, "%s.0", at));
    return g_batchnorm(g, x, g_name(g, "%s.1", at));
}

/* Hu et al., CVPR 2018, arXiv:1709.01507. */
static int squeeze_excite(graph *g, int x, int squeezed, const char *at)
{
    int c = g_channels(g, x);
    int v = g_relu(g, g_conv_bias(g, g_gap(g, x), squeezed, 1, 1, 0, g_name(g, "%s.fc1", at)));
    v = g_sigmoid(g, g_conv_bias(g, v, c, 1, 1, 0, g_name(g, "%s.fc2", at)));
    return g_gate(g, x, v);
}

/* No bottleneck ratio; the squeezed width is a quarter of the block's input. */
static int block(graph *g, int x, int c, int stride, int group, const char *at)
{
    int y, skip = x, cin = g_channels(g, x);
    y = g_relu(g, conv_bn(g, x, c, 1, 1, 1, g_name(g, "%s.f.a", at)));
    y = g_relu(g, conv_bn(g, y, c, 3, stride, c / group, g_name(g, "%s.f.b", at)));
    y = squeeze_excite(g, y, cin / SE_PART, g_name(g, "%s.f.se", at));
    y = conv_bn(g, y, c, 1, 1, 1, g_name(g, "%s.f.c", at));
    if (stride != 1 || cin != c) skip = conv_bn(g, x, c, 1, stride, 1, g_name(g, "%s.proj", at));
    return g_relu(g, g_add(g, y, skip));
}

static void build(graph *g, const model *m, int classes)
{
    const regnet_cfg *cfg = m->cfg;
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_tap(g, g_relu(g, conv_bn(g, x, STEM, 3, 2, 1, "stem")), "stem");
    for (int s = 0; s < 4; s++) {
        const char *stage = g_name(g, "trunk_output.block%d", s + 1);
        for (int b = 0; b < cfg->blocks[s]; b++)
            x = block(g, x, cfg->widths[s], b == 0 ? 2 : 1, cfg->group,
                      g_name(g, "%s.block%d-%d", stage, s + 1, b));
        g_tap(g, x, stage);
    }
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
    g_head(g, "fc");
}

#define REGNET_Y(size, text, group, b1, b2, b3, b4, w1, w2, w3, w4)                                \
    const model model_regnet_y_##size = {                                                          \
        .name = "regnet_y_" #size,                                                                 \
        .about = "torchvision RegNetY-" text,                                                      \
        .paper = "Radosavovic et al., CVPR 2020, arXiv:2003.13678",                                \
        .layouts = "torchvision (V1, V2 and SWAG weights)",                                        \
        .build = build,                                                                            \
        .cfg = &(const regnet_cfg){ group, { b1, b2, b3, b4 }, { w1, w2, w3, w4 } },               \
        .prep = TORCHVISION_224,                                                                   \
        .classifier = "fc",                                                                        \
        .classes = 1000,                                                                           \
    }

REGNET_Y(400mf, "400MF", 8, 1, 3, 6, 6, 48, 104, 208, 440);
REGNET_Y(800mf, "800MF", 16, 1, 3, 8, 2, 64, 144, 320, 784);
REGNET_Y(1_6gf, "1.6GF", 24, 2, 6, 17, 2, 48, 120, 336, 888);
REGNET_Y(3_2gf, "3.2GF", 24, 2, 5, 13, 1, 72, 216, 576, 1512);
REGNET_Y(8gf, "8GF", 56, 2, 4, 10, 1, 224, 448, 896, 2016);
REGNET_Y(16gf, "16GF", 112, 2, 4, 11, 1, 224, 448, 1232, 3024);
REGNET_Y(32gf, "32GF", 232, 2, 5, 12, 1, 232, 696, 1392, 3712);
