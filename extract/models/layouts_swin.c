/* Swin: Liu et al., ICCV 2021, arXiv:2103.14030.  Key tables: models.md 4.3 and 5.5. */
#include "extract/models/layouts.h"

/* Merging moved to the start of the next stage. */
static const key_rule timm09_rules[] = {
    { "layers.0.downsample.*", "layers.1.downsample.*", KEY_COPY },
    { "layers.1.downsample.*", "layers.2.downsample.*", KEY_COPY },
    { "layers.2.downsample.*", "layers.3.downsample.*", KEY_COPY },
    { "head.*", "head.fc.*", KEY_COPY },
    { 0 },
};

/* Stage s is features.(2s + 1), the merging after it features.(2s + 2). */
#define STAGE(s, f)                                                                                \
    { "layers." s ".blocks.#.mlp.fc1.*", "features." f ".#.mlp.0.*", KEY_COPY },                   \
    { "layers." s ".blocks.#.mlp.fc2.*", "features." f ".#.mlp.3.*", KEY_COPY },                   \
    { "layers." s ".blocks.#.*", "features." f ".#.*", KEY_COPY }
static const key_rule torchvision_rules[] = {
    { "patch_embed.proj.*", "features.0.0.*", KEY_COPY },
    { "patch_embed.norm.*", "features.0.2.*", KEY_COPY },
    STAGE("0", "1"),
    STAGE("1", "3"),
    STAGE("2", "5"),
    STAGE("3", "7"),
    { "layers.0.downsample.*", "features.2.*", KEY_COPY },
    { "layers.1.downsample.*", "features.4.*", KEY_COPY },
    { "layers.2.downsample.*", "features.6.*", KEY_COPY },
    { 0 },
};

/* Hugging Face's SwinForImageClassification. */
#define BLOCK "swin.encoder.layers.#.blocks.#."
static const key_rule transformers_rules[] = {
    { "patch_embed.proj.*", "swin.embeddings.patch_embeddings.projection.*", KEY_COPY },
    { "patch_embed.norm.*", "swin.embeddings.norm.*", KEY_COPY },
    { "layers.#.blocks.#.norm1.*", BLOCK "layernorm_before.*", KEY_COPY },
    { "layers.#.blocks.#.norm2.*", BLOCK "layernorm_after.*", KEY_COPY },
    { "layers.#.blocks.#.attn.qkv.*", BLOCK "attention.self.{query|key|value}.*", KEY_STACK },
    { "layers.#.blocks.#.attn.proj.*", BLOCK "attention.output.dense.*", KEY_COPY },
    { "layers.#.blocks.#.attn.*", BLOCK "attention.self.*", KEY_COPY },
    { "layers.#.blocks.#.mlp.fc1.*", BLOCK "intermediate.dense.*", KEY_COPY },
    { "layers.#.blocks.#.mlp.fc2.*", BLOCK "output.dense.*", KEY_COPY },
    { "layers.#.downsample.*", "swin.encoder.layers.#.downsample.*", KEY_COPY },
    { "norm.*", "swin.layernorm.*", KEY_COPY },
    { "head.*", "classifier.*", KEY_COPY },
    { 0 },
};

const layout layouts_swin[] = {
    { .name = "timm 0.8" },
    { .name = "timm 0.9", .rules = timm09_rules },
    { .name = "transformers", .rules = transformers_rules },
    { .name = NULL },
};

const layout layouts_swin_torchvision[] = {
    { .name = "torchvision", .rules = torchvision_rules },
    { .name = NULL },
};
