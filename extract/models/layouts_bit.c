/* BiT: Kolesnikov et al., ECCV 2020, arXiv:1912.11370.  Key tables: models.md 2.2 to 2.4. */
#include "extract/models/layouts.h"

static const key_rule big_transfer_rules[] = {
    { "before_head.gn.*", "head.gn.*", KEY_COPY },
    { 0 },
};

/* The files of big_transfer's release: TensorFlow kernels. */
#define UNIT(i, abc)                                                                               \
    { "body.block#.unit#.conv" i ".weight",                                                        \
      "resnet/block#/unit#/" abc "/standardized_conv2d/kernel", KEY_HWIO },                        \
    { "body.block#.unit#.gn" i ".weight", "resnet/block#/unit#/" abc "/group_norm/gamma", KEY_HWIO }, \
    { "body.block#.unit#.gn" i ".bias", "resnet/block#/unit#/" abc "/group_norm/beta", KEY_HWIO }
static const key_rule npz_rules[] = {
    { "root.conv.weight", "resnet/root_block/standardized_conv2d/kernel", KEY_HWIO },
    UNIT("1", "a"),
    UNIT("2", "b"),
    UNIT("3", "c"),
    { "body.block#.unit#.downsample.weight",
      "resnet/block#/unit#/a/proj/standardized_conv2d/kernel", KEY_HWIO },
    { "before_head.gn.weight", "resnet/group_norm/gamma", KEY_HWIO },
    { "before_head.gn.bias", "resnet/group_norm/beta", KEY_HWIO },
    { "head.conv.weight", "resnet/head/conv2d/kernel", KEY_HWIO },
    { "head.conv.bias", "resnet/head/conv2d/bias", KEY_HWIO },
    { 0 },
};
static const char *const npz_ignored[] = { "*", NULL }; /* further members of the release's files */

const layout layouts_bit[] = {
    { .name = "gen" },
    { .name = "big_transfer", .rules = big_transfer_rules },
    { .name = "big_transfer npz", .rules = npz_rules, .ignored = npz_ignored },
    { .name = NULL },
};
