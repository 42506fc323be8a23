/* The key layouts of published checkpoints, by family: for `.key_layouts` of a model.  The first one
 * of a list is the native one, under which golden weights are named (models.md 14). */
#ifndef OUTPOST_MODELS_LAYOUTS_H
#define OUTPOST_MODELS_LAYOUTS_H

#include "extract/layout.h"

/* Graphs with timm's names: cls_token, pos_embed, patch_embed.proj, blocks.#.norm1, .attn.qkv,
 * .attn.proj, .norm2, .mlp.fc1, .mlp.fc2, norm, head. */
extern const layout layouts_vit[];             /* timm, mmcls, augreg npz, transformers */
extern const layout layouts_deit[];            /* timm (and the official files), mmcls, transformers */
extern const layout layouts_vit_torchvision[]; /* torchvision, torchvision old: the same graph's names */

/* Graphs with timm <= 0.8's names: patch_embed.proj, .norm, layers.#.blocks.#.norm1,
 * .attn.relative_position_bias_table, .attn.qkv, .attn.proj, .norm2, .mlp.fc1, .mlp.fc2,
 * layers.#.downsample.norm, .reduction, norm, head. */
extern const layout layouts_swin[];             /* timm 0.8 (and the official files), timm 0.9,
                                                   transformers */
extern const layout layouts_swin_torchvision[]; /* torchvision */

/* Graph with the names of GEN, ViM and MOS: root.conv, body.block#.unit##.gn1.., before_head.gn,
 * head.conv. */
extern const layout layouts_bit[]; /* gen, big_transfer, big_transfer npz */

/* Variant 0, timm's names: stem and stages.#.# with .conv_kxk.conv, .conv_kxk.bn, .conv_1x1.conv,
 * .conv_1x1.bn, .identity (a batch norm); head.fc.  Variant 1, the deploy form: stem.reparam and
 * stages.#.#.reparam, convolutions with bias, nothing else in a block. */
extern const layout layouts_repvgg[]; /* timm, RepVGG, timm deploy, RepVGG deploy */

/* Graph with torchvision's names: features.denseblock#.denselayer#.norm1, ... */
extern const layout layouts_densenet121[]; /* torchvision, torchvision dotted */
extern const layout layouts_mobilenet_v2[]; /* torchvision, d-li14 */
extern const layout layouts_wrn[];          /* oe (convShortcut), pixmix (conv_shortcut) */
/* Graph with torchvision's names: features.#.#.block.#, .layer_scale, classifier.0, classifier.2 */
extern const layout layouts_convnext[]; /* torchvision, timm, official */

#endif
