/* BiT (Big Transfer): ResNetV2 with group normalisation and standardised weights.  Kolesnikov et al.,
 * ECCV 2020, arXiv:1912.11370; units of He et al., ECCV 2016, arXiv:1603.05027; as in the torch code
 * of GEN, ViM, MOS and GradNorm (models.md section 2).
 *   input [3,480,480] of values in [-1,1] -> features [2048 width] pooled ReLU(GN), logits [classes]
 * A group head (MOS) is a head of 1008 classes: 8 groups, each with "others" first.
 * Every convolution but the head's is standardised; blocks end in signed sums. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

typedef struct bit_cfg {
    int units[4];
    int width; /* factor of all channels */
} bit_cfg;

enum { GROUPS = 32 };

static int gn_relu(graph *g, int x, const char *at, int i)
{
    return g_relu(g, g_groupnorm(g, x, GROUPS, g_name(g, "%s.gn%d", at, i)));
}

static int conv(graph *g, int x, int c, int kernel, int stride, const char *at, int i)
{
    return g_conv_standardised(g, x, c, kernel, stride, kernel / 2, g_name(g, "%s.conv%d", at, i));
}

/* The projection reads the pre-activated tensor, the identity the raw one. */
static int unit(graph *g, int x, int c, int stride, const char *at)
{
    int a = gn_relu(g, x, at, 1), skip = x, y;
    if (stride != 1 || g_channels(g, x) != 4 * c)
        skip = g_conv_standardised(g, a, 4 * c, 1, stride, 0, g_name(g, "%s.downsample", at));
    y = conv(g, a, c, 1, 1, at, 1);
    y = conv(g, gn_relu(g, y, at, 2), c, 3, stride, at, 2);
    y = conv(g, gn_relu(g, y, at, 3), 4 * c, 1, 1, at, 3);
    return g_add(g, y, skip);
}

static void build(graph *g, const model *m, int classes)
{
    const bit_cfg *cfg = m->cfg;
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_conv_standardised(g, x, 64 * cfg->width, 7, 2, 3, "root.conv");
    x = g_tap(g, g_maxpool_zero_pad(g, x, 3, 2, 1), "root");
    for (int b = 0; b < 4; b++) {
        for (int u = 0; u < cfg->units[b]; u++)
            x = unit(g, x, (64 << b) * cfg->width, b > 0 && u == 0 ? 2 : 1,
                     g_name(g, "body.block%d.unit%02d", b + 1, u + 1));
        g_tap(g, x, g_name(g, "body.block%d", b + 1));
    }
    x = g_gap(g, g_relu(g, g_groupnorm(g, x, GROUPS, "before_head.gn")));
    g_features(g, g_tap(g, x, "before_head"));
    g_logits(g, g_conv_bias(g, x, classes, 1, 1, 0, "head.conv"));
    g_head(g, "head.conv");
}

#define BIT(id, text, width, ...)                                                                  \
    const model model_##id = {                                                                     \
        .name = #id,                                                                               \
        .about = text,                                                                             \
        .paper = "Kolesnikov et al., ECCV 2020, arXiv:1912.11370",                                 \
        .layouts = "GEN, ViM, MOS, GradNorm (flat and group heads), big_transfer torch and npz",   \
        .build = build,                                                                            \
        .cfg = &(const bit_cfg){ { __VA_ARGS__ }, width },                                         \
        .prep = { .side = 480, .preset = "gen", .filter = RESIZE_BILINEAR, HALF_STATS },           \
        .classifier = "head.conv",                                                                 \
        .classes = 1000,                                                                           \
        .key_layouts = layouts_bit,                                                                \
    }

BIT(bit_s_r101x1, "BiT-S ResNetV2-101x1", 1, 3, 4, 23, 3);
