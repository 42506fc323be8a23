/* ConvNeXt.  Liu et al., CVPR 2022, arXiv:2201.03545, as torchvision has it: four stages, layer norms with
 * eps 1e-6 over the channels of a pixel, layer scale.
 *   input [3,224,224] -> features [8 d]: pooled, then normalised (signed) -> logits [1000]
 * A layer scale is stored as [c,1,1]; the dimensions of 1 do not count. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

static const float EPS = 1e-6f;

typedef struct convnext_cfg {
    int width; /* of the first stage */
    int blocks[4];
} convnext_cfg;

static int block(graph *g, int x, const char *at)
{
    int c = g_channels(g, x);
    int y = g_conv_depthwise_bias(g, x, 7, 1, 3, g_name(g, "%s.block.0", at));
    y = g_layernorm(g, y, EPS, g_name(g, "%s.block.2", at));
    y = g_gelu(g, g_linear(g, y, 4 * c, g_name(g, "%s.block.3", at)));
    y = g_linear(g, y, c, g_name(g, "%s.block.5", at));
    return g_add(g, x, g_scale(g, y, g_name(g, "%s.layer_scale", at)));
}

static void build(graph *g, const model *m, int classes)
{
    const convnext_cfg *cfg = m->cfg;
    int x = g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), cfg->width, 4, 4, 0,
                        "features.0.0");
    x = g_tap(g, g_layernorm(g, x, EPS, "features.0.1"), "features.0");
    for (int s = 0; s < 4; s++) {
        int at = 2 * s + 1;
        for (int b = 0; b < cfg->blocks[s]; b++)
            x = block(g, x, g_name(g, "features.%d.%d", at, b));
        g_tap(g, x, g_name(g, "features.%d", at));
        if (s == 3) break;
        x = g_layernorm(g, x, EPS, g_name(g, "features.%d.0", at + 1));
        x = g_conv_bias(g, x, 2 * g_channels(g, x), 2, 2, 0, g_name(g, "features.%d.1", at + 1));
        g_tap(g, x, g_name(g, "features.%d", at + 1));
    }
    x = g_tap(g, g_gap(g, x), "avgpool");
    x = g_tap(g, g_layernorm(g, x, EPS, "classifier.0"), "classifier.0");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "classifier.2"));
    g_head(g, "classifier.2");
}

#define CONVNEXT(id, size, from, d, ...)                                                           \
    const model model_##id = {                                                                     \
        .name = #id,                                                                               \
        .about = "torchvision ConvNeXt-" size,                                                     \
        .paper = "Liu et al., CVPR 2022, arXiv:2201.03545",                                        \
        .layouts = "torchvision, timm, official ConvNeXt",                                         \
        .build = build,                                                                            \
        .cfg = &(const convnext_cfg){ d, { __VA_ARGS__ } },                                        \
        .prep = { .side = 224, .preset = "torchvision", .resize_short = from,                      \
                  .filter = RESIZE_BILINEAR, IMAGENET_STATS },                                     \
        .classifier = "classifier.2",                                                              \
        .classes = 1000,                                                                           \
        .key_layouts = layouts_convnext,                                                           \
    }

CONVNEXT(convnext_tiny, "T", 236, 96, 3, 3, 9, 3);
CONVNEXT(convnext_base, "B", 232, 128, 3, 3, 27, 3);
