/* Which layers the probes take from a network when none are named.
 * Published (models.md 8.1, 8.2; methods-seeds.md 4.13 to 6.2): nac of ResNet-50, BiT, MobileNetV2, vit_b_16 and the
 * CIFAR ResNet-18; blocks of BiT, SqueezeNet, T2T-24 and ViT; gram and stem of ResNets; last, earlier and weights of
 * BiT, SqueezeNet, T2T-24, vit_b_16, swin_b and, without weights, ResNet-50.  The others are the same places of
 * their networks. */
#include "extract/probes/parts.h"

#include <string.h>

#define TIMM_BLOCKS(i) "layers.0.blocks.1/layers.1.blocks.1/layers.2.blocks." #i "/layers.3"
#define T2T(n, from, blocks_, at)                                                                  \
    { .models = "t2t_vit_t_" #n " t2t_vit_" #n, .nac = "norm/" from, .blocks = blocks_,            \
      .gram = "tokens_to_token.attention1/" blocks_, .stem = "tokens_to_token.attention1",         \
      .last = "blocks." #at, .weights = "blocks." #at ".mlp.fc2.weight" }
#define SWIN_TIMM(names, i)                                                                        \
    { .models = names, .nac = "avgpool/layers.3.blocks.1.mlp.fc1/layers.2.blocks." #i ".mlp.fc1",  \
      .blocks = TIMM_BLOCKS(i), .gram = "patch_embed/" TIMM_BLOCKS(i), .stem = "patch_embed",      \
      .last = "layers.2.blocks." #i, .weights = "layers.2.blocks." #i ".mlp.fc2.weight" }
#define SWIN_TORCHVISION(names, i)                                                                 \
    { .models = names, .nac = "avgpool/features.7.1.mlp.0/features.5." #i ".mlp.0",                \
      .blocks = "features.1/features.3/features.5/features.7",                                     \
      .gram = "features.0/features.1/features.3/features.5/avgpool", .stem = "features.0",         \
      .last = "features.5", .weights = "layers.2.blocks." #i ".mlp.fc2.weight" }

static const network_layers rows[] = {
    { .models = "resnet18 resnet34 resnet50 resnet101 resnet152",
      .nac = "avgpool/layer3/layer2/layer1", .blocks = "maxpool/layer1/layer2/layer3/layer4",
      .gram = "maxpool/layer1/layer2/layer3/avgpool", .stem = "maxpool", .last = "layer4",
      .earlier = "layer3" },
    { .models = "resnet26d resnet34d resnet50d resnet101d",
      .nac = "global_pool/layer3/layer2/layer1", .blocks = "maxpool/layer1/layer2/layer3/layer4",
      .gram = "maxpool/layer1/layer2/layer3/global_pool", .stem = "maxpool", .last = "layer4",
      .earlier = "layer3" },
    { .models = "bit_s_r101x1", .nac = "before_head",
      .blocks = "root/body.block1/body.block2/body.block3/body.block4",
      .gram = "root/body.block1/body.block2/body.block3/before_head", .stem = "root",
      .last = "body.block4", .earlier = "body.block3",
      .weights = "body.block4.unit03.conv3.weight/body.block4.unit03.conv2.weight" },
    { .models = "repvgg_a0 repvgg_a1 repvgg_a2 repvgg_b0 repvgg_b1 repvgg_b2 repvgg_b3",
      .nac = "features/stages.2/stages.1/stages.0",
      .blocks = "stem/stages.0/stages.1/stages.2/stages.3",
      .gram = "stem/stages.0/stages.1/stages.2/features", .stem = "stem", .last = "stages.3",
      .earlier = "stages.2" },
    { .models = "densenet121 densenet161 densenet169 densenet201",
      .nac = "avgpool/features.denseblock3/features.denseblock2/features.denseblock1",
      .blocks = "features.pool0/features.denseblock1/features.denseblock2/features.denseblock3/features.denseblock4",
      .gram = "features.pool0/features.denseblock1/features.denseblock2/features.denseblock3/avgpool",
      .stem = "features.pool0", .last = "features.denseblock4", .earlier = "features.denseblock3" },
    { .models = "regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf "
                "regnet_y_32gf",
      .nac = "avgpool/trunk_output.block3/trunk_output.block2/trunk_output.block1",
      .blocks = "stem/trunk_output.block1/trunk_output.block2/trunk_output.block3/trunk_output.block4",
      .gram = "stem/trunk_output.block1/trunk_output.block2/trunk_output.block3/avgpool", .stem = "stem",
      .last = "trunk_output.block4", .earlier = "trunk_output.block3" },
    { .models = "efficientnet_b0", .nac = "avgpool",
      .blocks = "features.0/features.2/features.3/features.5/features.8",
      .gram = "features.0/features.2/features.3/features.5/avgpool", .stem = "features.0",
      .last = "features.8", .earlier = "features.5" },
    { .models = "squeezenet1_0", .nac = "features.12",
      .blocks = "features.2/features.6/features.11/features.12",
      .gram = "features.2/features.6/features.11/features.12.mean", .stem = "features.2",
      .last = "features.12", .earlier = "features.10", .weights = "classifier.1.weight" },
    { .models = "squeezenet1_1", .nac = "features.12",
      .blocks = "features.2/features.5/features.8/features.12",
      .gram = "features.2/features.5/features.8/features.12.mean", .stem = "features.2",
      .last = "features.12", .earlier = "features.7", .weights = "classifier.1.weight" },
    { .models = "mobilenet_v2", .nac = "avgpool",
      .blocks = "features.1/features.3/features.6/features.13/features.18",
      .gram = "features.1/features.3/features.6/features.13/avgpool", .stem = "features.0",
      .last = "features.18", .earlier = "features.13" },
    { .models = "vit_tiny_patch16_224 vit_small_patch16_224 vit_base_patch16_224 vit_base_patch16_384 "
                "deit_tiny_patch16_224 deit_small_patch16_224 deit_base_patch16_224",
      .nac = "norm/blocks.11.norm2/blocks.10.norm2/blocks.9.norm2",
      .blocks = "blocks.2/blocks.5/blocks.8/blocks.11", .gram = "blocks.2/blocks.5/blocks.8/blocks.11",
      .stem = "blocks.0", .last = "blocks.10", .weights = "blocks.10.mlp.fc2.weight" },
    { .models = "vit_b_16",
      .nac = "encoder.ln/encoder.layers.encoder_layer_11.ln_2/encoder.layers.encoder_layer_10.ln_2/"
             "encoder.layers.encoder_layer_9.ln_2",
      .blocks = "encoder.layers.encoder_layer_2/encoder.layers.encoder_layer_5/encoder.layers.encoder_layer_8/"
                "encoder.layers.encoder_layer_11",
      .gram = "encoder.layers.encoder_layer_2/encoder.layers.encoder_layer_5/encoder.layers.encoder_layer_8/"
              "encoder.layers.encoder_layer_11",
      .stem = "encoder.layers.encoder_layer_0", .last = "encoder.layers.encoder_layer_10",
      .weights = "blocks.10.mlp.fc2.weight" },
    SWIN_TIMM("swin_tiny_patch4_window7_224", 5),
    SWIN_TIMM("swin_small_patch4_window7_224 swin_base_patch4_window7_224", 17),
    SWIN_TORCHVISION("swin_t", 5),
    SWIN_TORCHVISION("swin_s swin_b", 17),
    T2T(14, "blocks.13.norm2/blocks.12.norm2/blocks.11.norm2", "blocks.3/blocks.6/blocks.10/blocks.13", 13),
    T2T(19, "blocks.18.norm2/blocks.17.norm2/blocks.16.norm2", "blocks.4/blocks.9/blocks.14/blocks.18", 18),
    T2T(24, "blocks.23.norm2/blocks.22.norm2/blocks.21.norm2", "blocks.5/blocks.11/blocks.17/blocks.23", 23),
    { .models = "convnext_tiny convnext_base", .nac = "avgpool/features.5/features.3/features.1",
      .blocks = "features.0/features.1/features.3/features.5/features.7",
      .gram = "features.0/features.1/features.3/features.5/avgpool", .stem = "features.0",
      .last = "features.7", .earlier = "features.5" },
    { .models = "densenet_bc_100_12", .nac = "avgpool/block2/block1", .blocks = "block1/block2/block3",
      .gram = "block1/trans1/block2/trans2/avgpool", .stem = "block1", .last = "block3",
      .earlier = "block2" },
    { .models = "wrn_40_2 wrn_28_10", .nac = "avgpool/block2/block1", .blocks = "block1/block2/block3",
      .gram = "block1/block2/avgpool", .stem = "block1", .last = "block3", .earlier = "block2" },
    { .models = "resnet18_32x32", .nac = "avgpool/layer3/layer2/layer1",
      .blocks = "relu/layer1/layer2/layer3/layer4", .gram = "relu/layer1/layer2/layer3/avgpool",
      .stem = "relu", .last = "layer4", .earlier = "layer3" },
    { .models = "resnet20 resnet32 resnet44 resnet56 demo", .nac = "avgpool/layer2/layer1",
      .blocks = "layer1/layer2/layer3", .gram = "layer1/layer2/avgpool", .stem = "layer1",
      .last = "layer3", .earlier = "layer2" },
};

const network_layers *layers_of(const model *m)
{
    size_t n = strlen(m->name);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (const char *at = rows[i].models; *at != '\0';) {
            size_t k = strcspn(at, " ");
            if (k == n && memcmp(at, m->name, n) == 0) return &rows[i];
            at += k + (at[k] == ' ');
        }
    return NULL;
}
