/* Vision transformers: Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; Touvron et al. (DeiT), ICML
 * 2021, arXiv:2012.12877.  Key tables: models.md 3.2.  All keep the rows of q, k, v in this order. */
#include "extract/models/layouts.h"

static const key_rule mmcls_rules[] = {
    { "patch_embed.proj.*", "backbone.patch_embed.projection.*", KEY_COPY },
    { "blocks.#.norm1.*", "backbone.layers.#.ln1.*", KEY_COPY },
    { "blocks.#.norm2.*", "backbone.layers.#.ln2.*", KEY_COPY },
    { "blocks.#.mlp.fc1.*", "backbone.layers.#.ffn.layers.0.0.*", KEY_COPY },
    { "blocks.#.mlp.fc2.*", "backbone.layers.#.ffn.layers.1.*", KEY_COPY },
    { "blocks.#.*", "backbone.layers.#.*", KEY_COPY },
    { "norm.*", "backbone.ln1.*", KEY_COPY },
    { "head.*", "head.layers.head.*", KEY_COPY },
    { "*", "backbone.*", KEY_COPY },
    { 0 },
};

/* Steiner et al., arXiv:2106.10270: JAX arrays, kernels [in,out], heads apart. */
#define BLOCK "Transformer/encoderblock_#/"
#define ATTENTION BLOCK "MultiHeadDotProductAttention_1/"
static const key_rule augreg_rules[] = {
    { "cls_token", "cls", KEY_COPY },
    { "pos_embed", "Transformer/posembed_input/pos_embedding", KEY_COPY },
    { "patch_embed.proj.weight", "embedding/kernel", KEY_HWIO },
    { "patch_embed.proj.bias", "embedding/bias", KEY_COPY },
    { "blocks.#.norm1.weight", BLOCK "LayerNorm_0/scale", KEY_COPY },
    { "blocks.#.norm1.bias", BLOCK "LayerNorm_0/bias", KEY_COPY },
    { "blocks.#.norm2.weight", BLOCK "LayerNorm_2/scale", KEY_COPY },
    { "blocks.#.norm2.bias", BLOCK "LayerNorm_2/bias", KEY_COPY },
    { "blocks.#.attn.qkv.weight", ATTENTION "{query|key|value}/kernel", KEY_QKV },
    { "blocks.#.attn.qkv.bias", ATTENTION "{query|key|value}/bias", KEY_QKV },
    { "blocks.#.attn.proj.weight", ATTENTION "out/kernel", KEY_TRANSPOSE },
    { "blocks.#.attn.proj.bias", ATTENTION "out/bias", KEY_COPY },
    { "blocks.#.mlp.fc1.weight", BLOCK "MlpBlock_3/Dense_0/kernel", KEY_TRANSPOSE },
    { "blocks.#.mlp.fc1.bias", BLOCK "MlpBlock_3/Dense_0/bias", KEY_COPY },
    { "blocks.#.mlp.fc2.weight", BLOCK "MlpBlock_3/Dense_1/kernel", KEY_TRANSPOSE },
    { "blocks.#.mlp.fc2.bias", BLOCK "MlpBlock_3/Dense_1/bias", KEY_COPY },
    { "norm.weight", "Transformer/encoder_norm/scale", KEY_COPY },
    { "norm.bias", "Transformer/encoder_norm/bias", KEY_COPY },
    { "head.weight", "head/kernel", KEY_TRANSPOSE },
    { "head.bias", "head/bias", KEY_COPY },
    { 0 },
};
static const char *const augreg_ignored[] = { "opt/state/*", NULL };

/* The published vit_b_16 has its MLPs as linear_1, linear_2; newer files as 0 and 3. */
#define ENCODER "encoder.layers.encoder_layer_#."
#define TORCHVISION(fc1, fc2)                                                                      \
    {                                                                                              \
        { "cls_token", "class_token", KEY_COPY },                                                  \
        { "pos_embed", "encoder.pos_embedding", KEY_COPY },                                        \
        { "patch_embed.proj.*", "conv_proj.*", KEY_COPY },                                         \
        { "blocks.#.norm1.*", ENCODER "ln_1.*", KEY_COPY },                                        \
        { "blocks.#.norm2.*", ENCODER "ln_2.*", KEY_COPY },                                        \
        { "blocks.#.attn.qkv.*", ENCODER "self_attention.in_proj_*", KEY_COPY },                   \
        { "blocks.#.attn.proj.*", ENCODER "self_attention.out_proj.*", KEY_COPY },                 \
        { "blocks.#.mlp.fc1.*", ENCODER "mlp." fc1 ".*", KEY_COPY },                               \
        { "blocks.#.mlp.fc2.*", ENCODER "mlp." fc2 ".*", KEY_COPY },                               \
        { "norm.*", "encoder.ln.*", KEY_COPY },                                                    \
        { "head.*", "heads.head.*", KEY_COPY },                                                    \
        { 0 },                                                                                     \
    }
static const key_rule torchvision_rules[] = TORCHVISION("0", "3");
static const key_rule torchvision_old_rules[] = TORCHVISION("linear_1", "linear_2");

/* Hugging Face's ViTForImageClassification.  transformers runs such files with eps 1e-12 in its layer norms;
 * they come from networks with 1e-6, which is what is run here (3e-6 apart: models.md 14.4). */
#define LAYER "vit.encoder.layer.#."
static const key_rule transformers_rules[] = {
    { "cls_token", "vit.embeddings.cls_token", KEY_COPY },
    { "pos_embed", "vit.embeddings.position_embeddings", KEY_COPY },
    { "patch_embed.proj.*", "vit.embeddings.patch_embeddings.projection.*", KEY_COPY },
    { "blocks.#.norm1.*", LAYER "layernorm_before.*", KEY_COPY },
    { "blocks.#.norm2.*", LAYER "layernorm_after.*", KEY_COPY },
    { "blocks.#.attn.qkv.*", LAYER "attention.attention.{query|key|value}.*", KEY_STACK },
    { "blocks.#.attn.proj.*", LAYER "attention.output.dense.*", KEY_COPY },
    { "blocks.#.mlp.fc1.*", LAYER "intermediate.dense.*", KEY_COPY },
    { "blocks.#.mlp.fc2.*", LAYER "output.dense.*", KEY_COPY },
    { "norm.*", "vit.layernorm.*", KEY_COPY },
    { "head.*", "classifier.*", KEY_COPY },
    { 0 },
};

const layout layouts_vit[] = {
    { .name = "timm" },
    { .name = "mmcls", .rules = mmcls_rules },
    { .name = "augreg npz", .rules = augreg_rules, .ignored = augreg_ignored, .prefix = "opt/target/" },
    { .name = "transformers", .rules = transformers_rules },
    { .name = NULL },
};

const layout layouts_deit[] = {
    { .name = "timm" },
    { .name = "mmcls", .rules = mmcls_rules },
    { .name = "transformers", .rules = transformers_rules },
    { .name = NULL },
};

const layout layouts_vit_torchvision[] = {
    { .name = "torchvision", .rules = torchvision_rules },
    { .name = "torchvision old", .rules = torchvision_old_rules },
    { .name = NULL },
};
