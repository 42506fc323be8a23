/* Swin Transformer with windows of 7 x 7: swin_*_patch4_window7_224 of timm, swin_{t,s,b} of torchvision.
 * Liu et al., ICCV 2021, arXiv:2103.14030; four stages, heads of width 32, MLP ratio 4, eps 1e-5.
 *   input [3,s,s] -> features [8 d]: mean of the tokens after the last norm, signed
 * Layer names are those of timm before 0.9; taps have each library's own.  timm's `layers.0` is the
 * value behind the merging of patches, as in that timm (0.9 has moved the merging to the next stage).
 * Maps that windows do not divide: torchvision pads the normalised map with zeros, timm refuses them. */
#include "extract/model.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

enum { PATCH = 4, WINDOW = 7, HEAD = 32 };

static const float EPS = 1e-5f;

typedef struct swin_cfg {
    int heads;         /* of the first stage */
    int blocks[4];
    int torchvision;   /* taps, and padding */
} swin_cfg;

/* A map as the library's modules hand it on. */
static int tap(graph *g, const swin_cfg *cfg, int x, const char *name)
{
    return g_tap_as(g, x, name, cfg->torchvision ? TAP_HWC : TAP_TOKENS);
}

static int attention(graph *g, int x, int heads, int shift, const char *at)
{
    shape s = g_shape(g, x);
    int c = s.c, h = (s.h + WINDOW - 1) / WINDOW * WINDOW, w = (s.w + WINDOW - 1) / WINDOW * WINDOW;
    int padded = h != s.h || w != s.w;
    if (padded) x = g_pad(g, x, h, w);
    if (h <= WINDOW && w <= WINDOW) shift = 0;
    x = g_linear(g, x, 3 * c, g_name(g, "%s.qkv", at));
    x = g_window_attention(g, x, heads, WINDOW, shift,
                           g_name(g, "%s.relative_position_bias_table", at));
    x = g_linear(g, x, c, g_name(g, "%s.proj", at));
    return padded ? g_crop(g, x, s.h, s.w) : x;
}

static int block(graph *g, const swin_cfg *cfg, int x, int heads, int stage, int b)
{
    const char *at = g_name(g, "layers.%d.blocks.%d", stage, b);
    const char *name = cfg->torchvision ? g_name(g, "features.%d.%d", 2 * stage + 1, b) : at;
    int c = g_channels(g, x), shift = b % 2 == 0 ? 0 : WINDOW / 2;
    int y = g_layernorm(g, x, EPS, g_name(g, "%s.norm1", at));
    x = g_add(g, x, attention(g, y, heads, shift, g_name(g, "%s.attn", at)));
    y = g_layernorm(g, x, EPS, g_name(g, "%s.norm2", at));
    y = g_linear(g, y, 4 * c, g_name(g, "%s.mlp.fc1", at));
    tap(g, cfg, y, g_name(g, "%s.mlp.%s", name, cfg->torchvision ? "0" : "fc1")); /* before GELU */
    y = g_linear(g, g_gelu(g, y), c, g_name(g, "%s.mlp.fc2", at));
    return tap(g, cfg, g_add(g, x, y), name);
}

static int merging(graph *g, int x, const char *at)
{
    int c = g_channels(g, x);
    x = g_layernorm(g, g_merge(g, x), EPS, g_name(g, "%s.norm", at));
    return g_linear_plain(g, x, 2 * c, g_name(g, "%s.reduction", at));
}

/* torchvision's features.i are the stem, then stages and mergings in turn. */
static const char *module_name(graph *g, const swin_cfg *cfg, int i)
{
    if (cfg->torchvision) return g_name(g, "features.%d", i);
    return i == 0 ? "patch_embed" : g_name(g, "layers.%d", i == 7 ? 3 : i / 2 - 1);
}

/* The last block's value under its stage's name, too. */
static void tap_stage(graph *g, const swin_cfg *cfg, int x, int s)
{
    if (!cfg->torchvision && s < 3) return; /* there the name goes to the merging */
    tap(g, cfg, g_slice(g, x, 0, g_channels(g, x)), module_name(g, cfg, 2 * s + 1));
}

static void build(graph *g, const model *m, int classes)
{
    const swin_cfg *cfg = m->cfg;
    int side = m->prep.side, least = 8 * PATCH * WINDOW, x;
    if (!cfg->torchvision && side % least != 0)
        g_refuse(g, "%s: its windows fit multiples of %d; torchvision's networks pad others",
                 m->name, least);
    x = g_conv_bias(g, g_input(g, 3, side, side), HEAD * cfg->heads, PATCH, PATCH, 0,
                    "patch_embed.proj");
    x = g_layernorm(g, x, EPS, "patch_embed.norm");
    tap(g, cfg, x, module_name(g, cfg, 0));
    for (int s = 0; s < 4; s++) {
        for (int b = 0; b < cfg->blocks[s]; b++)
            x = block(g, cfg, x, cfg->heads << s, s, b);
        tap_stage(g, cfg, x, s);
        if (s == 3) break;
        x = merging(g, x, g_name(g, "layers.%d.downsample", s));
        tap(g, cfg, x, module_name(g, cfg, 2 * s + 2));
    }
    x = tap(g, cfg, g_layernorm(g, x, EPS, "norm"), "norm");
    x = g_tap(g, g_gap(g, x), "avgpool");
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "head"));
    g_head(g, "head");
}

#define SWIN(id, words, files, keys, tv, first, deep, ...)                                         \
    const model model_##id = {                                                                     \
        .name = #id,                                                                               \
        .about = words,                                                                            \
        .paper = "Liu et al., ICCV 2021, arXiv:2103.14030",                                        \
        .layouts = files,                                                                          \
        .build = build,                                                                            \
        .cfg = &(const swin_cfg){ first, { 2, 2, deep, 2 }, tv },                                  \
        .prep = { .side = 224, .filter = RESIZE_BICUBIC, IMAGENET_STATS, __VA_ARGS__ },            \
        .classifier = "head",                                                                      \
        .classes = 1000,                                                                           \
        .key_layouts = keys,                                                                       \
    }

#define TIMM(id, size, first, deep)                                                                \
    SWIN(id, "timm Swin-" size, "timm, official Swin", layouts_swin, 0, first, deep,               \
         .preset = "gen", .recipe = "timm", .resize_short = 248)
#define TORCHVISION(id, size, first, deep, from)                                                   \
    SWIN(id, "torchvision Swin-" size, "torchvision", layouts_swin_torchvision, 1, first, deep,    \
         .preset = "torchvision", .resize_short = from)

TIMM(swin_tiny_patch4_window7_224, "T", 3, 6);
TIMM(swin_small_patch4_window7_224, "S", 3, 18);
TIMM(swin_base_patch4_window7_224, "B", 4, 18);
TORCHVISION(swin_t, "T", 3, 6, 232);
TORCHVISION(swin_s, "S", 3, 18, 246);
TORCHVISION(swin_b, "B", 4, 18, 238);
