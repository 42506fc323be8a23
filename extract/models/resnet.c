/* ResNets.  He, Zhang, Ren, Sun, CVPR 2016, arXiv:1512.03385.
 *
 * torchvision resnet18..152: table 1 of the paper, stride on the 3x3 as trained ("v1.5").
 *   input [3,224,224] -> features [512 or 2048] pooled, logits [1000]
 * timm resnet26d..101d: "bag of tricks" ResNet-D (He et al., CVPR 2019, arXiv:1812.01187, figure 2):
 *   three 3x3 in the stem, average pools in the shortcuts; features [512 or 2048]
 * OpenOOD's ResNet18_32x32: the same blocks, 3x3 stem without pool, input [3,32,32].
 *   Keys say `shortcut`, HIMPLoS's copy says `downsample`.
 * akamaster's CIFAR ResNets of depth 6n+2 (section 4.2 of the paper): 16, 32, 64 channels, shortcuts
 *   without weights (option A), classifier `linear`; features [64]. */
#include "extract/model.h"
#include "extract/models/stats.h"

typedef enum resnet_kind { PLAIN, SMALL /* 3x3 stem without pool */, DEEP /* ResNet-D */ } resnet_kind;

typedef struct resnet_cfg {
    int blocks[4];
    int bottleneck;
    resnet_kind kind;
    const char *shortcut;     /* key of the projection */
} resnet_cfg;

static int conv_bn(graph *g, int x, int c, int kernel, int stride, const char *at, int i)
{
    x = g_conv(g, x, c, kernel, stride, kernel / 2, g_name(g, "%s.conv%d", at, i));
    return g_batchnorm(g, x, g_name(g, "%s.bn%d", at, i));
}

/* ResNet-D averages before its projection, which then has no stride; part 0 is that pool. */
static int projection(graph *g, const resnet_cfg *cfg, int x, int c, int stride, const char *at)
{
    int part = 0;
    if (cfg->kind == DEEP) {
        if (stride != 1) x = g_avgpool_ceil(g, x, 2, stride);
        part = stride = 1;
    }
    x = g_conv(g, x, c, 1, stride, 0, g_name(g, "%s.%s.%d", at, cfg->shortcut, part));
    return g_batchnorm(g, x, g_name(g, "%s.%s.%d", at, cfg->shortcut, part + 1));
}

static int block(graph *g, const resnet_cfg *cfg, int x, int c, int stride, const char *at)
{
    int y, skip = x, out = cfg->bottleneck ? 4 * c : c;
    if (cfg->bottleneck) {
        y = g_relu(g, conv_bn(g, x, c, 1, 1, at, 1));
        y = g_relu(g, conv_bn(g, y, c, 3, stride, at, 2));
        y = conv_bn(g, y, out, 1, 1, at, 3);
    } else {
        y = g_relu(g, conv_bn(g, x, c, 3, stride, at, 1));
        y = conv_bn(g, y, c, 3, 1, at, 2);
    }
    if (stride != 1 || g_channels(g, x) != out) skip = projection(g, cfg, x, out, stride, at);
    return g_relu(g, g_add(g, y, skip));
}

static int stem(graph *g, resnet_kind kind, int x)
{
    if (kind == SMALL) {
        x = g_conv(g, x, 64, 3, 1, 1, "conv1");
    } else if (kind == PLAIN) {
        x = g_conv(g, x, 64, 7, 2, 3, "conv1");
    } else {
        x = g_relu(g, g_batchnorm(g, g_conv(g, x, 32, 3, 2, 1, "conv1.0"), "conv1.1"));
        x = g_relu(g, g_batchnorm(g, g_conv(g, x, 32, 3, 1, 1, "conv1.3"), "conv1.4"));
        x = g_conv(g, x, 64, 3, 1, 1, "conv1.6");
    }
    x = g_tap(g, g_relu(g, g_batchnorm(g, x, "bn1")), kind == DEEP ? "act1" : "relu");
    return kind == SMALL ? x : g_tap(g, g_maxpool(g, x, 3, 2, 1, 0), "maxpool");
}

static void build(graph *g, const model *m, int classes)
{
    const resnet_cfg *cfg = m->cfg;
    int x = stem(g, cfg->kind, g_input(g, 3, m->prep.side, m->prep.side));
    for (int l = 0; l < 4; l++) {
        for (int b = 0; b < cfg->blocks[l]; b++)
            x = block(g, cfg, x, 64 << l, l > 0 && b == 0 ? 2 : 1,
                      g_name(g, "layer%d.%d", l + 1, b));
        g_tap(g, x, g_name(g, "layer%d", l + 1));
    }
    x = g_tap(g, g_gap(g, x), cfg->kind == DEEP ? "global_pool" : "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
    g_head(g, "fc");
}

#define RESNET(id, depth, bottle, ...)                                                             \
    const model model_##id = {                                                                     \
        .name = #id,                                                                               \
        .about = "torchvision ResNet-" #depth,                                                     \
        .paper = "He et al., CVPR 2016, arXiv:1512.03385",                                         \
        .layouts = "torchvision (V1 and V2 weights), OpenOOD ResNet_224x224",                      \
        .build = build,                                                                            \
        .cfg = &(const resnet_cfg){ { __VA_ARGS__ }, bottle, PLAIN, "downsample" },                    \
        .prep = TORCHVISION_224,                                                                   \
        .classifier = "fc",                                                                        \
        .classes = 1000,                                                                           \
    }

RESNET(resnet18, 18, 0, 2, 2, 2, 2);
RESNET(resnet34, 34, 0, 3, 4, 6, 3);
RESNET(resnet50, 50, 1, 3, 4, 6, 3);
RESNET(resnet101, 101, 1, 3, 4, 23, 3);
RESNET(resnet152, 152, 1, 3, 8, 36, 3);

#define RESNET_D(depth, bottle, ...)                                                               \
    const model model_resnet##depth##d = {                                                         \
        .name = "resnet" #depth "d",                                                               \
        .about = "timm ResNet-" #depth "-D",                                                       \
        .paper = "He et al., CVPR 2019, arXiv:1812.01187",                                         \
        .layouts = "timm",                                                                         \
        .build = build,                                                                            \
        .cfg = &(const resnet_cfg){ { __VA_ARGS__ }, bottle, DEEP, "downsample" },                 \
        .prep = { .side = 224, .preset = "gen", .resize_short = 256, .filter = RESIZE_BICUBIC,     \
                  .recipe = "timm", IMAGENET_STATS },                                              \
        .classifier = "fc",                                                                        \
        .classes = 1000,                                                                           \
    }

RESNET_D(26, 1, 2, 2, 2, 2);
RESNET_D(34, 0, 3, 4, 6, 3);
RESNET_D(50, 1, 3, 4, 6, 3);
RESNET_D(101, 1, 3, 4, 23, 3);

static const key_rule himplos_rules[] = {
    { "layer#.#.shortcut.*", "layer#.#.downsample.*", KEY_COPY },
    { 0 },
};
static const layout layouts_resnet18_32x32[] = {
    { .name = "openood" },
    { .name = "himplos", .rules = himplos_rules },
    { .name = NULL },
};

const model model_resnet18_32x32 = {
    .name = "resnet18_32x32",
    .about = "OpenOOD's ResNet-18 for CIFAR",
    .paper = "He et al., CVPR 2016, arXiv:1512.03385; Zhang et al., OpenOOD v1.5, arXiv:2306.09301",
    .layouts = "OpenOOD best.ckpt (shortcut.N), HIMPLoS resnet18_cifar (downsample.N)",
    .build = build,
    .cfg = &(const resnet_cfg){ { 2, 2, 2, 2 }, 0, SMALL, "shortcut" },
    .prep = { .side = 32, .preset = "openood", .resize_short = 32, .filter = RESIZE_BILINEAR,
              CIFAR10_OPENOOD_STATS },
    .classifier = "fc",
    .classes = 10,
    .key_layouts = layouts_resnet18_32x32,
};

/* ---- akamaster --------------------------------------------------------------------------------- */

static void build_cifar(graph *g, const model *m, int classes)
{
    int n = *(const int *)m->cfg;
    int x = g_input(g, 3, 32, 32);
    x = g_relu(g, g_batchnorm(g, g_conv(g, x, 16, 3, 1, 1, "conv1"), "bn1"));
    for (int l = 0; l < 3; l++) {
        for (int b = 0; b < n; b++) {
            const char *at = g_name(g, "layer%d.%d", l + 1, b);
            int c = 16 << l, stride = l > 0 && b == 0 ? 2 : 1;
            int y = g_relu(g, conv_bn(g, x, c, 3, stride, at, 1));
            y = conv_bn(g, y, c, 3, 1, at, 2);
            x = g_relu(g, g_add(g, y, stride == 1 ? x : g_shortcut_a(g, x, c)));
        }
        g_tap(g, x, g_name(g, "layer%d", l + 1));
    }
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "linear"));
    g_head(g, "linear");
}

#define CIFAR_RESNET(depth, n)                                                                     \
    const model model_resnet##depth = {                                                      \
        .name = "resnet" #depth,                                                             \
        .about = "CIFAR ResNet-" #depth " with option A shortcuts",                                \
        .paper = "He et al., CVPR 2016, section 4.2, arXiv:1512.03385",                            \
        .layouts = "akamaster pytorch_resnet_cifar10 (.th, module. prefix)",                       \
        .build = build_cifar,                                                                      \
        .cfg = &(const int){ n },                                                                  \
        .prep = { .side = 32, .preset = "cifar", .resize_short = 32,                               \
                  .filter = RESIZE_BILINEAR, IMAGENET_STATS },                                     \
        .classifier = "linear",                                                                    \
        .classes = 10,                                                                             \
    }

CIFAR_RESNET(20, 3);
CIFAR_RESNET(32, 5);
CIFAR_RESNET(44, 7);
CIFAR_RESNET(56, 9);
