/* Checkpoints bound to a small transformer of our own in three layouts: what is taken as it lies, what is
 * transposed and resampled, and every way to be refused. */
#include "extract/weights.h"
#include "common/err.h"
#include "tests/lib/sparse_checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = 4, PATCH = 4, GRID = 2, KEYS = 9 }; /* 8x8 input: 1 + 2 x 2 tokens */

static void build(graph *g, const model *m, int classes)
{
    int x = g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), D, PATCH, PATCH, 0, "patch");
    x = g_embed(g, x, "cls_token", "pos_embed");
    if (m->variant == 0) x = g_attention(g, g_linear(g, x, 3 * D, "qkv"), 2, 1);
    x = g_token(g, x, 0);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "head"));
}

static const key_rule other_rules[] = {
    { "qkv.weight", "att/{query|key|value}/kernel", KEY_QKV },
    { "qkv.bias", "att/{query|key|value}/bias", KEY_QKV },
    { "head.weight", "head/kernel", KEY_TRANSPOSE },
    { "head.bias", "head/bias", KEY_COPY },
    { "patch.weight", "patch/kernel", KEY_HWIO },
    { 0 },
};
static const char *const other_ignored[] = { "opt/state/*", NULL };
static const layout layouts[] = {
    { .name = "own" },
    { .name = "other", .rules = other_rules, .ignored = other_ignored, .prefix = "opt/target/" },
    { .name = "short", .variant = 1 },
    { .name = NULL },
};
static const model net = { .name = "net", .layouts = "none", .build = build, .prep = { .side = 8 },
                           .classifier = "head", .classes = 10, .key_layouts = layouts };

/* ---- files ------------------------------------------------------------------------------------- */

static float values[1024]; /* what every tensor is filled from */

static const sparse_tensor own[KEYS] = {
    { "patch.weight", 4, 0, { D, 3, PATCH, PATCH }, values },
    { "patch.bias", 1, 0, { D }, values + 1 },
    { "cls_token", 3, 0, { 1, 1, D }, values + 2 },
    { "pos_embed", 3, 0, { 1, 1 + GRID * GRID, D }, values + 3 },
    { "qkv.weight", 2, 0, { 3 * D, D }, values + 4 },
    { "qkv.bias", 1, 0, { 3 * D }, values + 5 },
    { "head.weight", 2, 0, { 7, D }, values + 6 },
    { "head.bias", 1, 0, { 7 }, values + 7 },
    { "blocks.0.num_batches_tracked", 0, 1, { 0 }, NULL },
};

static weights *open_file(const sparse_tensor *v, size_t n)
{
    char path[] = "/tmp/outpost-weights-XXXXXX";
    weights *w = NULL;
    if (sparse_checkpoint(path, v, n) < 0 || weights_open(&w, path) < 0)
        fprintf(stderr, "%s\n", err_text());
    unlink(path);
    assert_non_null(w);
    return w;
}

/* Binds as a session does; returns weights_bind's code. */
static int bind(weights *w, int side, graph **g)
{
    int rc = weights_choose(w, &net, side);
    assert_int_equal(rc, 0);
    rc = model_build_as(g, &net, weights_classes(w, &net), side, weights_layout(w)->variant);
    assert_int_equal(rc, 0);
    return weights_bind(w, &net, *g);
}

static const float *value_of(const weights *w, const graph *g, const char *name)
{
    for (size_t i = 0; i < graph_params(g); i++)
        if (strcmp(graph_param(g, (int)i)->name, name) == 0) return weights_at(w, (int)i);
    fail_msg("no parameter %s", name);
    return NULL;
}

static void is_refused(const sparse_tensor *v, size_t n, const char *words)
{
    weights *w = open_file(v, n);
    graph *g = NULL;
    assert_int_equal(bind(w, 8, &g), ERR_INPUT);
    if (strstr(err_text(), words) == NULL) fail_msg("'%s' is not in '%s'", words, err_text());
    err_clear();
    graph_free(&g);
    weights_close(&w);
}

static int make_values(void **state)
{
    (void)state;
    for (int i = 0; i < 1024; i++)
        values[i] = (float)(i % 331) / 8 - 20;
    return 0;
}

/* ---- what is bound ----------------------------------------------------------------------------- */

static void as_it_lies(void **state)
{
    weights *w = open_file(own, KEYS);
    graph *g = NULL;
    int from, to;
    (void)state;
    assert_int_equal(bind(w, 8, &g), 0);
    assert_string_equal(weights_layout_name(w), "own");
    assert_int_equal(weights_classes(w, &net), 7);
    assert_false(weights_resampled(w, &from, &to));
    for (size_t i = 0; i < graph_params(g); i++) /* borrowed: no copies */
        assert_ptr_equal(weights_at(w, (int)i),
                         arrays_find(weights_arrays(w), graph_param(g, (int)i)->name)->data);
    assert_memory_equal(value_of(w, g, "pos_embed"), values + 3, 5 * D * sizeof(float));
    graph_free(&g);
    weights_close(&w);
}

/* The published form of the same values, with and without the prefix of a training state. */
static void another_layout(void **state)
{
    static float patch[PATCH * PATCH * 3 * D], qkv[3][D * D], head[D * 7];
    sparse_tensor v[] = {
        { "patch/kernel", 4, 0, { PATCH, PATCH, 3, D }, patch },
        own[1], own[2], own[3],
        { "att/query/kernel", 3, 0, { D, 2, D / 2 }, qkv[0] },
        { "att/key/kernel", 3, 0, { D, 2, D / 2 }, qkv[1] },
        { "att/value/kernel", 3, 0, { D, 2, D / 2 }, qkv[2] },
        { "att/query/bias", 2, 0, { 2, D / 2 }, values + 5 },
        { "att/key/bias", 2, 0, { 2, D / 2 }, values + 5 + D },
        { "att/value/bias", 2, 0, { 2, D / 2 }, values + 5 + 2 * D },
        { "head/kernel", 2, 0, { D, 7 }, head },
        { "head/bias", 1, 0, { 7 }, values + 7 },
        { "opt/state/step", 0, 1, { 0 }, NULL },
    };
    const size_t n = sizeof v / sizeof *v;
    (void)state;
    for (int o = 0; o < D; o++)
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < PATCH * PATCH; k++)
                patch[(k * 3 + i) * D + o] = own[0].data[(o * 3 + i) * PATCH * PATCH + k];
    for (int part = 0; part < 3; part++)
        for (int o = 0; o < D; o++)
            for (int i = 0; i < D; i++)
                qkv[part][i * D + o] = own[4].data[(part * D + o) * D + i];
    for (int o = 0; o < 7; o++)
        for (int i = 0; i < D; i++)
            head[i * 7 + o] = own[6].data[o * D + i];
    for (int prefixed = 0; prefixed < 2; prefixed++) {
        weights *w;
        graph *g = NULL;
        for (size_t i = 0; prefixed && i + 1 < n; i++) {
            char key[200];
            snprintf(key, sizeof key, "opt/target/%.180s", v[i].key);
            memcpy(v[i].key, key, sizeof key);
        }
        w = open_file(v, n);
        assert_int_equal(bind(w, 8, &g), 0);
        assert_string_equal(weights_layout_name(w), "other");
        for (int i = 0; i < KEYS - 1; i++) {
            size_t count = 1;
            for (int k = 0; k < own[i].rank; k++)
                count *= own[i].dim[k];
            assert_memory_equal(value_of(w, g, own[i].key), own[i].data, count * sizeof(float));
        }
        graph_free(&g);
        weights_close(&w);
    }
}

static void another_size(void **state)
{
    float want[(1 + 9) * D];
    (void)state;
    for (int how = POSITIONS_PLAIN; how <= POSITIONS_ANTIALIAS; how++) {
        weights *w = open_file(own, KEYS);
        graph *g = NULL;
        int from, to;
        weights_set_positions(w, (positions_how)how);
        assert_int_equal(bind(w, 12, &g), 0);
        assert_true(weights_resampled(w, &from, &to));
        assert_int_equal(from, 2);
        assert_int_equal(to, 3);
        assert_int_equal(positions_resize(want, 3, own[3].data, 2, 1, D, (positions_how)how), 0);
        assert_memory_equal(value_of(w, g, "pos_embed"), want, sizeof want);
        graph_free(&g);
        weights_close(&w);
    }
}

static void variants(void **state)
{
    sparse_tensor v[] = { own[0], own[1], own[2], own[3], own[6], own[7] };
    weights *w = open_file(v, 6);
    graph *g = NULL;
    (void)state;
    assert_int_equal(bind(w, 8, &g), 0);
    assert_string_equal(weights_layout_name(w), "short");
    assert_int_equal(graph_params(g), 6);
    graph_free(&g);
    weights_close(&w);
}

/* ---- what is refused --------------------------------------------------------------------------- */

static void misfits(void **state)
{
    static float with_nan[3 * D];
    sparse_tensor v[KEYS + 1];
    (void)state;
    memcpy(v, own, sizeof own);
    is_refused(v + 1, KEYS - 1, "not a checkpoint of net (layout own); 1 missing: patch.weight");
    v[KEYS] = (sparse_tensor){ "extra.\033[31m", 1, 0, { 1 }, NULL };
    memcpy(v[KEYS].key, "extra.weight", 13);
    is_refused(v, KEYS + 1, "1 unexpected: extra.weight");
    v[4].dim[1] = 3;
    is_refused(v, KEYS, "1 of another shape: qkv.weight is [12,3], the network has [12,4]");
    v[4] = own[4];
    v[3].dim[1] = 1 + 5;
    is_refused(v, KEYS, "pos_embed is [1,6,4], the network has [1,5,4]");
    v[3].dim[1] = 1; /* no grid at all */
    is_refused(v, KEYS, "pos_embed is [1,1,4]");
    v[3] = own[3];
    v[3].dim[2] = D + 1;
    is_refused(v, KEYS, "pos_embed is [1,5,5]");
    v[3] = own[3];
    v[5].is_int = 1;
    v[5].data = NULL;
    is_refused(v, KEYS, "'qkv.bias' holds I64, not floating point");
    v[5] = own[5];
    v[5].data = with_nan;
    with_nan[11] = (float)NAN;
    is_refused(v, KEYS, "'qkv.bias' has NaN or Inf at element 11");
}

static void missing_part(void **state)
{
    const sparse_tensor v[] = {
        { "patch/kernel", 4, 0, { PATCH, PATCH, 3, D }, NULL },
        own[1], own[2], own[3],
        { "att/query/kernel", 3, 0, { D, 2, D / 2 }, NULL },
        { "att/value/kernel", 3, 0, { D, 2, D / 2 }, NULL },
        { "att/query/bias", 2, 0, { 2, D / 2 }, NULL },
        { "att/key/bias", 2, 0, { 2, D / 2 }, NULL },
        { "att/value/bias", 1, 0, { D }, NULL },
        { "head/kernel", 1, 0, { 7 }, NULL },
        { "head/bias", 1, 0, { 7 }, NULL },
    };
    (void)state;
    is_refused(v, sizeof v / sizeof *v, "net (layout other); 1 missing: att/key/kernel");
    is_refused(v, sizeof v / sizeof *v, "head/kernel is [7], the network has [10,4]");
    is_refused(v, sizeof v / sizeof *v, "att/query/bias is [2,2], the network has [12]");
}

/* As the published code makes it: label the nine regions of the map by slices, cut it into windows. */
static void swin_mask(float *mask, int side, int w)
{
    const int cut[4] = { 0, side - w, side - w / 2, side }, windows = side / w, n = w * w;
    int label[32][32], count = 0;
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++, count++)
            for (int y = cut[a]; y < cut[a + 1]; y++)
                for (int x = cut[b]; x < cut[b + 1]; x++)
                    label[y][x] = count;
    for (int k = 0; k < windows * windows; k++)
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                int y = k / windows * w, x = k % windows * w;
                int same = label[y + i / w][x + i % w] == label[y + j / w][x + j % w];
                mask[(k * n + i) * n + j] = same ? 0 : -100;
            }
}

static void right_tables(void **state)
{
    static float mask[4 * 49 * 49];
    sparse_tensor v[KEYS + 1];
    weights *w;
    graph *g = NULL;
    (void)state;
    swin_mask(mask, 14, 7);
    memcpy(v, own, sizeof own);
    v[KEYS] = (sparse_tensor){ "layers.0.attn_mask", 3, 0, { 4, 49, 49 }, mask };
    w = open_file(v, KEYS + 1);
    assert_int_equal(bind(w, 8, &g), 0);
    graph_free(&g);
    weights_close(&w);
    mask[2 * 49 * 49 + 17] = mask[2 * 49 * 49 + 17] < 0 ? 0 : -100;
    is_refused(v, KEYS + 1, "between tokens 0 and 17 of window 2");
}

static void stored_tables(void **state)
{
    static float mask[4 * 81 * 81];
    sparse_tensor v[KEYS + 1];
    (void)state;
    memcpy(v, own, sizeof own);
    v[KEYS] = (sparse_tensor){ "layers.0.attn.relative_position_index", 2, 1, { 49, 49 }, NULL };
    is_refused(v, KEYS + 1, "has 0 for tokens 0 and 0, the network uses 84");
    v[KEYS].dim[1] = 48;
    is_refused(v, KEYS + 1, "has 2352 elements, not those of square windows");
    v[KEYS].dim[0] = 0;
    is_refused(v, KEYS + 1, "has 0 elements");
    v[KEYS] = (sparse_tensor){ "layers.0.attn_mask", 3, 0, { 4, 81, 81 }, mask };
    is_refused(v, KEYS + 1, "the network uses -100");
    v[KEYS].dim[0] = 3;
    is_refused(v, KEYS + 1, "has no shape [windows,tokens,tokens]");
    v[KEYS].rank = 0;
    is_refused(v, KEYS + 1, "has no shape [windows,tokens,tokens]");
}

/* Names that mean something with shapes and types that do not: an answer, never a crash. */
static void any_shapes(void **state)
{
    static const char *const names[] = {
        "patch.weight", "patch.bias", "cls_token", "pos_embed", "qkv.weight", "qkv.bias", "head.weight",
        "head.bias", "patch/kernel", "att/query/kernel", "att/key/kernel", "att/value/kernel",
        "att/query/bias", "att/key/bias", "att/value/bias", "head/kernel", "head/bias",
        "opt/target/cls_token", "x.relative_position_index", "x.attn_mask", "opt/state/", "",
    };
    enum { NAMES = sizeof names / sizeof *names, ROUNDS = 3000 };
    static const size_t sizes[] = { 0, 1, 1, 2, 3, 4, 4, 5, 7, 12, 49 };
    sparse_tensor v[NAMES];
    int bound = 0;
    srand(1);
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = 0;
        weights *w;
        graph *g = NULL;
        for (size_t i = 0; i < (round % 2 ? NAMES : KEYS - 1); i++) {
            if (round % 2 && rand() % 4 == 0) continue;
            v[n] = (sparse_tensor){ .rank = rand() % 5, .is_int = rand() % 8 == 0 };
            snprintf(v[n].key, sizeof v[n].key, "%s", names[i]);
            for (int k = 0; k < 4; k++)
                v[n].dim[k] = sizes[(size_t)rand() % (sizeof sizes / sizeof *sizes)];
            if (i < KEYS - 1 && rand() % 16 != 0) v[n] = own[i]; /* else hardly one gets far */
            n++;
        }
        w = open_file(v, n);
        bound += bind(w, rand() % 2 ? 8 : 12, &g) == 0;
        err_clear();
        (void)weights_recognise(w, NULL, 0);
        graph_free(&g);
        weights_close(&w);
    }
    assert_in_range(bound, 100, ROUNDS / 2); /* the rest differ somewhere */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_it_lies), cmocka_unit_test(another_layout), cmocka_unit_test(another_size),
        cmocka_unit_test(variants),   cmocka_unit_test(misfits),        cmocka_unit_test(missing_part),
        cmocka_unit_test(right_tables), cmocka_unit_test(stored_tables),
        cmocka_unit_test(any_shapes),
    };
    return cmocka_run_group_tests_name("weights", tests, make_values, NULL);
}
