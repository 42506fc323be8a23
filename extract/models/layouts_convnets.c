/* Convolutional networks of which files with other names are about: models.md 5.2, 5.4, 7.3. */
#include "extract/models/layouts.h"

/* densenet121-a639ec97.pth is older than the names of torchvision's modules. */
#define LAYER "features.denseblock#.denselayer#."
static const key_rule dotted_rules[] = {
    { LAYER "norm1.*", LAYER "norm.1.*", KEY_COPY },
    { LAYER "norm2.*", LAYER "norm.2.*", KEY_COPY },
    { LAYER "conv1.*", LAYER "conv.1.*", KEY_COPY },
    { LAYER "conv2.*", LAYER "conv.2.*", KEY_COPY },
    { 0 },
};

const layout layouts_densenet121[] = {
    { .name = "torchvision" },
    { .name = "torchvision dotted", .rules = dotted_rules },
    { .name = NULL },
};

/* d-li14's mobilenetv2: a flat sequence per block; the first block has nothing to expand. */
static const key_rule dli14_rules[] = {
    { "features.1.conv.0.0.*", "features.1.conv.0.*", KEY_COPY },
    { "features.1.conv.0.1.*", "features.1.conv.1.*", KEY_COPY },
    { "features.1.conv.1.*", "features.1.conv.3.*", KEY_COPY },
    { "features.1.conv.2.*", "features.1.conv.4.*", KEY_COPY },
    { "features.#.conv.0.0.*", "features.#.conv.0.*", KEY_COPY },
    { "features.#.conv.0.1.*", "features.#.conv.1.*", KEY_COPY },
    { "features.#.conv.1.0.*", "features.#.conv.3.*", KEY_COPY },
    { "features.#.conv.1.1.*", "features.#.conv.4.*", KEY_COPY },
    { "features.#.conv.2.*", "features.#.conv.6.*", KEY_COPY },
    { "features.#.conv.3.*", "features.#.conv.7.*", KEY_COPY },
    { "features.18.0.*", "conv.0.*", KEY_COPY },
    { "features.18.1.*", "conv.1.*", KEY_COPY },
    { "classifier.1.*", "classifier.*", KEY_COPY },
    { 0 },
};

const layout layouts_mobilenet_v2[] = {
    { .name = "torchvision" },
    { .name = "d-li14", .rules = dli14_rules },
    { .name = NULL },
};

static const key_rule pixmix_rules[] = {
    { "block#.layer.#.convShortcut.*", "block#.layer.#.conv_shortcut.*", KEY_COPY },
    { 0 },
};

const layout layouts_wrn[] = {
    { .name = "oe" },
    { .name = "pixmix", .rules = pixmix_rules },
    { .name = NULL },
};
