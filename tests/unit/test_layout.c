/* Key layouts: patterns, names of real tensors in every published layout, and values against numpy
 * (tests/golden/layouts.npz, make_layouts.py). */
#include "extract/layout.h"
#include "extract/models/layouts.h"
#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------- */

static void patterns(void **state)
{
    (void)state;
    assert_true(layout_matches("head.weight", "head.weight"));
    assert_false(layout_matches("head.weight", "head.weights"));
    assert_false(layout_matches("head.weight", "head.weigh"));
    assert_true(layout_matches("blocks.#.norm1.*", "blocks.11.norm1.weight"));
    assert_true(layout_matches("blocks.#.norm1.*", "blocks.0.norm1."));
    assert_false(layout_matches("blocks.#.norm1.*", "blocks..norm1.weight"));
    assert_false(layout_matches("blocks.#.norm1.*", "blocks.x.norm1.weight"));
    assert_false(layout_matches("blocks.#", "blocks.1a"));
    assert_true(layout_matches("*", ""));
    assert_true(layout_matches("", ""));
    assert_false(layout_matches("#", ""));
    assert_false(layout_matches("########", "1")); /* more runs than there is room for */
}

static const layout *layout_named(const layout *all, const char *name)
{
    while (all->name != NULL && strcmp(all->name, name) != 0)
        all++;
    assert_non_null(all->name);
    return all;
}

static void key_is(const layout *l, const char *ours, int part, int parts, const char *theirs)
{
    char key[KEY_MAX];
    assert_int_equal(layout_key_of(l, ours, part, key, sizeof key, NULL), parts);
    assert_string_equal(key, theirs);
}

static void names(void **state)
{
    const layout *l = layout_named(layouts_vit, "mmcls");
    (void)state;
    key_is(&layouts_vit[0], "blocks.3.attn.qkv.weight", 0, 1, "blocks.3.attn.qkv.weight");
    key_is(l, "cls_token", 0, 1, "backbone.cls_token");
    key_is(l, "blocks.10.attn.proj.bias", 0, 1, "backbone.layers.10.attn.proj.bias");
    key_is(l, "blocks.10.mlp.fc2.bias", 0, 1, "backbone.layers.10.ffn.layers.1.bias");
    key_is(l, "head.bias", 0, 1, "head.layers.head.bias");
    l = layout_named(layouts_vit, "augreg npz");
    key_is(l, "blocks.7.attn.qkv.weight", 1, 3,
           "Transformer/encoderblock_7/MultiHeadDotProductAttention_1/key/kernel");
    key_is(l, "blocks.7.attn.qkv.bias", 2, 3,
           "Transformer/encoderblock_7/MultiHeadDotProductAttention_1/value/bias");
    l = layout_named(layouts_swin, "transformers");
    key_is(l, "layers.2.blocks.5.attn.qkv.weight", 0, 3,
           "swin.encoder.layers.2.blocks.5.attention.self.query.weight");
    key_is(&layouts_vit_torchvision[0], "blocks.0.attn.qkv.bias", 0, 1,
           "encoder.layers.encoder_layer_0.self_attention.in_proj_bias");
    key_is(&layouts_vit_torchvision[1], "blocks.0.mlp.fc1.bias", 0, 1,
           "encoder.layers.encoder_layer_0.mlp.linear_1.bias");
    key_is(&layouts_swin[1], "layers.2.downsample.reduction.weight", 0, 1,
           "layers.3.downsample.reduction.weight");
    key_is(&layouts_swin_torchvision[0], "layers.2.blocks.17.mlp.fc2.weight", 0, 1,
           "features.5.17.mlp.3.weight");
    key_is(&layouts_swin_torchvision[0], "layers.1.blocks.1.attn.relative_position_bias_table", 0, 1,
           "features.3.1.attn.relative_position_bias_table");
    key_is(layout_named(layouts_bit, "big_transfer npz"), "body.block3.unit23.gn2.bias", 0, 1,
           "resnet/block3/unit23/b/group_norm/beta");
    key_is(layout_named(layouts_repvgg, "RepVGG"), "stages.2.15.conv_1x1.bn.running_var", 0, 1,
           "stage3.15.rbr_1x1.bn.running_var");
    key_is(layout_named(layouts_repvgg, "RepVGG deploy"), "stem.reparam.weight", 0, 1,
           "stage0.rbr_reparam.weight");
    key_is(&layouts_mobilenet_v2[1], "features.1.conv.1.weight", 0, 1, "features.1.conv.3.weight");
    key_is(&layouts_mobilenet_v2[1], "features.17.conv.1.1.bias", 0, 1, "features.17.conv.4.bias");
    key_is(&layouts_densenet121[1], "features.denseblock4.denselayer16.norm2.running_mean", 0, 1,
           "features.denseblock4.denselayer16.norm.2.running_mean");
    key_is(&layouts_convnext[1], "features.7.2.layer_scale", 0, 1, "stages.3.blocks.2.gamma");
}

static void long_names(void **state)
{
    static const key_rule rules[] = { { "a.*", "aaaaaaaa.{x|yyyy}.*", KEY_QKV }, { 0 } };
    static const char *const ignored[] = { "opt/state/*", "step", NULL };
    const layout l = { .name = "test", .rules = rules, .ignored = ignored };
    char key[16];
    key_how how;
    (void)state;
    assert_int_equal(layout_key_of(&l, "a.bcd", 0, key, 15, &how), 2);
    assert_string_equal(key, "aaaaaaaa.x.bcd");
    assert_int_equal(how, KEY_QKV);
    assert_int_equal(layout_key_of(&l, "a.bcd", 0, key, 14, &how), 0);
    assert_int_equal(layout_key_of(&l, "a.bcd", 1, key, sizeof key, &how), 0);
    assert_int_equal(layout_key_of(&l, "b.a.bcd", 0, key, sizeof key, &how), 1);
    assert_int_equal(how, KEY_COPY);
    assert_true(layout_ignores(&l, "step"));
    assert_true(layout_ignores(&l, "opt/state/"));
    assert_false(layout_ignores(&l, "steps"));
}

/* ---- values ------------------------------------------------------------------------------------ */

static arrays *file;

static int open_file(void **state)
{
    (void)state;
    if (arrays_open(&file, "tests/golden/layouts.npz") < 0) fprintf(stderr, "%s\n", err_text());
    return file == NULL;
}

static int close_file(void **state)
{
    (void)state;
    arrays_close(&file);
    return 0;
}

/* The arrays "in/NAME" become "out/OUT", given the parameter's shape. */
static void becomes(key_how how, const char *const *in, int n, const char *out, int rank,
                    const size_t *dim)
{
    const array *part[KEY_PARTS] = { NULL }, *want = arrays_find(file, out);
    param p = { .name = "p", .rank = rank, .count = 1 };
    float v[512];
    assert_non_null(want);
    for (int i = 0; i < rank; i++) {
        p.dim[i] = dim[i];
        p.count *= dim[i];
    }
    for (int i = 0; i < n; i++) {
        part[i] = arrays_find(file, in[i]);
        assert_non_null(part[i]);
    }
    assert_true(p.count == want->count && p.count <= 512);
    assert_true(layout_fits(how, part, n, &p));
    assert_int_equal(layout_copy(how, part, n, &p, v), 0);
    assert_memory_equal(v, want->data, p.count * sizeof *v);
    if (layout_in_order(how, part)) assert_memory_equal(v, part[0]->data, p.count * sizeof *v);
    p.dim[0]++;
    assert_false(layout_fits(how, part, n, &p));
}

static const char *const kernels[] = { "in/query/kernel", "in/key/kernel", "in/value/kernel" };
static const char *const biases[] = { "in/query/bias", "in/key/bias", "in/value/bias" };
static const char *const rows[] = { "in/query/rows", "in/key/rows", "in/value/rows" };
#define ONE(name) (const char *const[]){ name }, 1
#define DIM(...) (const size_t[]){ __VA_ARGS__ }

static void values(void **state)
{
    (void)state;
    becomes(KEY_HWIO, ONE("in/kernel4"), "out/kernel4", 4, DIM(5, 4, 2, 3));
    becomes(KEY_HWIO, ONE("in/gamma"), "out/gamma", 1, DIM(7));
    becomes(KEY_HWIO, ONE("in/vector"), "out/vector", 1, DIM(7));
    becomes(KEY_HWIO, ONE("in/scale"), "out/scale", 1, DIM(7));
    becomes(KEY_TRANSPOSE, ONE("in/matrix"), "out/matrix", 2, DIM(5, 4));
    becomes(KEY_TRANSPOSE, ONE("in/out"), "out/out", 2, DIM(6, 6));
    becomes(KEY_TRANSPOSE, ONE("in/vector"), "out/vector", 1, DIM(7));
    becomes(KEY_QKV, kernels, 3, "out/qkv/kernel", 2, DIM(18, 6));
    becomes(KEY_QKV, biases, 3, "out/qkv/bias", 1, DIM(18));
    becomes(KEY_STACK, rows, 3, "out/stack", 2, DIM(15, 4));
    becomes(KEY_STACK, biases, 3, "out/stack/bias", 2, DIM(6, 3));
    becomes(KEY_COPY, ONE("in/scale"), "out/scale", 1, DIM(7));
    becomes(KEY_COPY, ONE("in/vector"), "out/vector", 3, DIM(7, 1, 1));
}

/* Shapes that have no such form: never more than an answer of 0. */
static void misfits(void **state)
{
    static const float nothing[1];
    const array scalar = { .name = "s", .type = ARRAY_F32, .rank = 0, .count = 1, .data = nothing };
    const array empty = { .name = "e", .type = ARRAY_F32, .rank = 3, .dim = { SIZE_MAX, 2, 0 } };
    const array deep = { .name = "d", .type = ARRAY_F32, .rank = 6, .dim = { 1, 1, 1, 1, 1, 1 },
                         .count = 1, .data = nothing };
    const array *mixed[3] = { arrays_find(file, kernels[0]), arrays_find(file, kernels[1]),
                              arrays_find(file, biases[2]) };
    size_t dim[4];
    (void)state;
    for (int how = KEY_COPY; how <= KEY_STACK; how++)
        for (int rank = 1; rank <= 4; rank++) {
            const array *one = &scalar;
            assert_int_equal(layout_shape((key_how)how, &one, 1, rank, dim), 0);
            one = &empty;
            assert_int_equal(layout_shape((key_how)how, &one, 1, rank, dim), 0);
            one = &deep;
            if (rank != 1)
                assert_int_equal(layout_shape((key_how)how, &one, 1, rank, dim), how == KEY_HWIO);
            assert_int_equal(layout_shape((key_how)how, mixed, 3, rank, dim), 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),   cmocka_unit_test(names),   cmocka_unit_test(long_names),
        cmocka_unit_test(values), cmocka_unit_test(misfits),
    };
    return cmocka_run_group_tests_name("layout", tests, open_file, close_file);
}
