/* Vision Transformer with patches of 16 x 16: ViT and DeiT of timm, vit_b_16 of torchvision.
 * Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; Touvron et al., ICML 2021, arXiv:2012.12877, without
 * distillation token.  12 layers, heads of width 64, MLP ratio 4, layer norms with eps 1e-6.
 *   input [3,s,s] -> tokens [d, 1 + (s/16)^2] -> features [d]: class token after the last norm, signed
 * Layer names are timm's; taps have each library's own. */
#include "extract/model.h"
#include "extract/models/encoder.h"
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
    if (side % PATCH != 0)
        g_refuse(g, "%s: input of %dx%d: patches of %d do not fit", m->name, side, side, PATCH);
    x = g_conv_bias(g, g_input(g, 3, side, side), d, PATCH, PATCH, 0, "patch_embed.proj");
    x = encoder_build(g, g_embed(g, x, "cls_token", "pos_embed"), &e);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "head"));
    g_head(g, "head");
}

/* timm's own evaluation is bicubic, 224 cut from 248 and 384 taken whole. */
#define VIT(id, n, words, source, files, input, from, ...)                                         \
    const model model_##id##_patch16_##input = {                                                   \
        .name = #id "_patch16_" #input,                                                            \
        .about = words,                                                                            \
        .paper = source,                                                                           \
        .layouts = files,                                                                          \
        .build = build,                                                                            \
        .cfg = &(const vit_cfg){ n, "blocks.", "norm2", "norm" },                                  \
        .prep = { .side = input, .preset = "gen", .resize_short = from,                            \
                  .filter = RESIZE_BICUBIC, __VA_ARGS__ },                                         \
        .classifier = "head",                                                                      \
        .classes = 1000,                                                                           \
    }

#define AUGREG "Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; Steiner et al., arXiv:2106.10270"
#define DEIT "Touvron et al., ICML 2021, arXiv:2012.12877"
#define VIT_FILES "timm, mmclassification, augreg .npz"
#define DEIT_FILES "timm, official DeiT, mmclassification"

VIT(vit_tiny, 3, "timm ViT-Ti/16", AUGREG, VIT_FILES, 224, 248, HALF_STATS);
VIT(vit_small, 6, "timm ViT-S/16", AUGREG, VIT_FILES, 224, 248, HALF_STATS);
VIT(vit_base, 12, "timm ViT-B/16", AUGREG, VIT_FILES, 224, 248, HALF_STATS);
VIT(vit_base, 12, "ViT-B/16 at 384, also GEN's and ViM's", AUGREG, VIT_FILES, 384, 384, HALF_STATS);
VIT(deit_tiny, 3, "timm DeiT-Ti/16", DEIT, DEIT_FILES, 224, 248, IMAGENET_STATS);
VIT(deit_small, 6, "timm DeiT-S/16", DEIT, DEIT_FILES, 224, 248, IMAGENET_STATS);
VIT(deit_base, 12, "timm DeiT-B/16", DEIT, DEIT_FILES, 224, 248, IMAGENET_STATS);

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
};
