/* ConvNeXt: Liu et al., CVPR 2022, arXiv:2201.03545.  torchvision's names are the graph's: stage s is
 * features.(2s + 1), the down-sampling before it features.(2s).  timm and the official code number
 * the stages; layer scale is a vector there and [c,1,1] here, which is the same. */
#include "extract/models/layouts.h"

#define STAGE(ours, theirs, dw, fc1, fc2)                                                          \
    { "features." ours ".#.layer_scale", theirs ".gamma", KEY_COPY },                              \
    { "features." ours ".#.block.0.*", theirs "." dw ".*", KEY_COPY },                             \
    { "features." ours ".#.block.2.*", theirs ".norm.*", KEY_COPY },                               \
    { "features." ours ".#.block.3.*", theirs "." fc1 ".*", KEY_COPY },                            \
    { "features." ours ".#.block.5.*", theirs "." fc2 ".*", KEY_COPY }

#define TIMM(ours, s) STAGE(ours, "stages." s ".blocks.#", "conv_dw", "mlp.fc1", "mlp.fc2")
static const key_rule timm_rules[] = {
    { "features.0.*", "stem.*", KEY_COPY },
    TIMM("1", "0"),
    TIMM("3", "1"),
    TIMM("5", "2"),
    TIMM("7", "3"),
    { "features.2.*", "stages.1.downsample.*", KEY_COPY },
    { "features.4.*", "stages.2.downsample.*", KEY_COPY },
    { "features.6.*", "stages.3.downsample.*", KEY_COPY },
    { "classifier.0.*", "head.norm.*", KEY_COPY },
    { "classifier.2.*", "head.fc.*", KEY_COPY },
    { 0 },
};

#define OFFICIAL(ours, s) STAGE(ours, "stages." s ".#", "dwconv", "pwconv1", "pwconv2")
static const key_rule official_rules[] = {
    { "features.0.*", "downsample_layers.0.*", KEY_COPY },
    OFFICIAL("1", "0"),
    OFFICIAL("3", "1"),
    OFFICIAL("5", "2"),
    OFFICIAL("7", "3"),
    { "features.2.*", "downsample_layers.1.*", KEY_COPY },
    { "features.4.*", "downsample_layers.2.*", KEY_COPY },
    { "features.6.*", "downsample_layers.3.*", KEY_COPY },
    { "classifier.0.*", "norm.*", KEY_COPY },
    { "classifier.2.*", "head.*", KEY_COPY },
    { 0 },
};

const layout layouts_convnext[] = {
    { .name = "torchvision" },
    { .name = "timm", .rules = timm_rules },
    { .name = "official", .rules = official_rules },
    { .name = NULL },
};
