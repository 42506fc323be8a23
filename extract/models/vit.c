/* Vision Transformer with patches of 16 x 16: ViT and DeiT of timm, vit_b_16 of torchvision.
 * Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; Touvron et al., ICML 2021, arXiv:2012.12877, without
 * distillation token.  12 layers, heads of width 64, MLP ratio 4, layer norms with eps 1e-6.
 *   input [3,s,s] -> tokens [d, 1 + (s/16)^2] -> features [d]: class token after the last norm, signed
 * Layer names are timm's; taps have each library's own. */
#include "extract/model.h"
#include "extract/models/encoder.h"
#include "extract/models/layouts.h"
#include "extract/models/stats.h"

enum { PATCH = 16, DEPTH = 12, HEAD = 64 };

typedef struct vit_cfg {
    int heads;
    const char *blocks, *norm2, *norm; /* taps */
} vit_cfg;

static void build(graph *g, const model *m, int classes)
{
    const vit_cfg *cfg = m->cfg;
    int d = HEAD * cfg->heads, side = m->prep.side, x;
    const encoder e = { .width = d, .depth = DEPTH, .heads = cfg->heads, .hidden = 4 * d,
                        .eps = 1e-6f, .qkv_bias = 1, .blocks = cfg->blocks, .norm2 = cfg->norm2,
                        .norm = cfg->norm };
    if (side % PATCH != 0) g_refuse(g, "%s: patches of %d do not fit %d", m->name, PATCH, side);
    x = g_conv_bias(g, g_input(g, 3, side, side), d, PATCH, PATCH, 0, "patch_embed.proj");
    x = encoder_build(g, g_embed(g, x, "cls_token", "pos_embed"), &e);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "head"));
    g_head(g, "head");
}

#define ENTRY(id, n, words, input, ...)                                                            \
    const model model_##id##_patch16_##input = {                                                   \
        .name = #id "_patch16_" #input,                                                            \
        .about = words,                                                                            \
        .build = build,                                                                            \
        .cfg = &(const vit_cfg){ n, "blocks.", "norm2", "norm" },                                  \
        .classifier = "head",                                                                      \
        .classes = 1000,                                                                           \
        __VA_ARGS__                                                                                \
    }

#define RECIPE(input, from, ...)                                                                   \
    { .side = input, .preset = "gen", .recipe = "timm", .resize_short = from,                      \
      .filter = RESIZE_BICUBIC, __VA_ARGS__ }

/* Own evaluation: 384 whole, 224 cut from 248. */
#define VIT(id, n, words, input, from)                                                             \
    ENTRY(id, n, words, input,                                                                     \
          .paper = "Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; Steiner et al., 2106.10270",  \
          .layouts = "timm, mmclassification, augreg .npz", .key_layouts = layouts_vit,            \
          .prep = RECIPE(input, from, HALF_STATS))
#define DEIT(id, n, words)                                                                         \
    ENTRY(id, n, words, 224, .paper = "Touvron et al., ICML 2021, arXiv:2012.12877",               \
          .layouts = "timm, official DeiT, mmclassification", .key_layouts = layouts_deit,         \
          .prep = RECIPE(224, 248, IMAGENET_STATS))

VIT(vit_tiny, 3, "timm ViT-Ti/16", 224, 248);
VIT(vit_small, 6, "timm ViT-S/16", 224, 248);
VIT(vit_base, 12, "timm ViT-B/16", 224, 248);
VIT(vit_base, 12, "timm ViT-B/16 at 384; GEN's and ViM's", 384, 384);
DEIT(deit_tiny, 3, "timm DeiT-Ti/16");
DEIT(deit_small, 6, "timm DeiT-S/16");
DEIT(deit_base, 12, "timm DeiT-B/16");

const model model_vit_b_16 = {
    .name = "vit_b_16",
    .about = "torchvision ViT-B/16",
    .paper = "Dosovitskiy et al., ICLR 2021, arXiv:2010.11929",
    .layouts = "torchvision",
    .build = build,
    .cfg = &(const vit_cfg){ 12, "encoder.layers.encoder_layer_", "ln_2", "encoder.ln" },
    .prep = TORCHVISION_224,
    .classifier = "head",
    .classes = 1000,
    .key_layouts = layouts_vit_torchvision,
};
