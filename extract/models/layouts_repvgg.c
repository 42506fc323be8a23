/* RepVGG: Ding et al., CVPR 2021, arXiv:2101.03697.  Names: models.md 4.1. */
#include "extract/models/layouts.h"

#define STAGE(ours, theirs)                                                                        \
    { ours ".conv_kxk.*", theirs ".rbr_dense.*", KEY_COPY },                                       \
    { ours ".conv_1x1.*", theirs ".rbr_1x1.*", KEY_COPY },                                         \
    { ours ".identity.*", theirs ".rbr_identity.*", KEY_COPY },                                    \
    { ours ".reparam.*", theirs ".rbr_reparam.*", KEY_COPY }
static const key_rule release_rules[] = {
    STAGE("stem", "stage0"),
    STAGE("stages.0.#", "stage1.#"),
    STAGE("stages.1.#", "stage2.#"),
    STAGE("stages.2.#", "stage3.#"),
    STAGE("stages.3.#", "stage4.#"),
    { "head.fc.*", "linear.*", KEY_COPY },
    { 0 },
};

static const key_rule timm_deploy_rules[] = {
    { "stem.reparam.*", "stem.reparam_conv.*", KEY_COPY },
    { "stages.#.#.reparam.*", "stages.#.#.reparam_conv.*", KEY_COPY },
    { 0 },
};

const layout layouts_repvgg[] = {
    { .name = "timm" },
    { .name = "RepVGG", .rules = release_rules },
    { .name = "timm deploy", .rules = timm_deploy_rules, .variant = 1 },
    { .name = "RepVGG deploy", .rules = release_rules, .variant = 1 },
    { .name = NULL },
};
