/* The CPU backend's norms, tokens and rearrangements against the reference, through networks of a few
 * nodes: odd sides, channels that fill no vector, one pixel, borders around everything. */
#include "tests/unit/tiny_net.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* ---- norms ---- */

static int layernorm(graph *g, int x) { return g_layernorm(g, x, 1e-6f, "ln"); }
static int groupnorm_1(graph *g, int x) { return g_groupnorm(g, x, 1, "gn"); }
static int groupnorm_2(graph *g, int x) { return g_groupnorm(g, x, 2, "gn"); }
static int groupnorm_relu(graph *g, int x) { return g_relu(g, g_groupnorm(g, x, 4, "gn")); }
static int groupnorm_each(graph *g, int x) { return g_groupnorm(g, x, g_channels(g, x), "gn"); }
static int layernorm_of_slice(graph *g, int x) { return layernorm(g, g_slice(g, x, 3, 37)); }

static const tiny_case norms[] = {
    { "layernorm of 96", layernorm, 96, 3, 5, 1, 0, 0 },
    { "layernorm of 147", layernorm, 147, 4, 3, 1, 0, 0 },
    { "layernorm of 7", layernorm, 7, 2, 9, 1, 0, 0 },
    { "layernorm of tokens", layernorm, 64, 11, 1, 1, 0, 0 },
    { "layernorm of one pixel", layernorm, 33, 1, 1, 1, 0, 0 },
    { "layernorm of a slice", layernorm_of_slice, 45, 3, 3, 1, 0, 0 },
    { "layernorm far from 0", layernorm, 80, 3, 3, 1, 256, 0 },
    { "groupnorm in 1", groupnorm_1, 10, 5, 3, 1, 0, 0 },
    { "groupnorm in 2", groupnorm_2, 70, 9, 7, 1, 0, 0 },
    { "groupnorm and relu", groupnorm_relu, 64, 13, 11, 1, 0, 0 },
    { "groupnorm of each channel", groupnorm_each, 19, 4, 6, 1, 0, 0 },
    { "groupnorm of one row", groupnorm_2, 32, 1, 40, 1, 0, 0 },
    { "groupnorm of one column", groupnorm_2, 32, 90, 1, 1, 0, 0 },
    { "groupnorm of one pixel", groupnorm_2, 34, 1, 1, 1, 0, 0 },
    { "groupnorm far from 0", groupnorm_relu, 64, 20, 20, 1, 256, 0 },
};

static void norms_agree(void **state)
{
    (void)state;
    tiny_compare_all(norms, LENGTH(norms));
}

/* Means of 1e4 deviations, and rows whose means differ: where E[x^2] - E[x]^2 in f32 has no digit
 * left. */
static void means_do_not_drown_deviations(void **state)
{
    static const tiny_case c = { "groupnorm", groupnorm_2, 16, 12, 9, 1, 0, 0 };
    tiny_net t;
    float *want[TINY_OUTPUTS] = { 0 }, *got[TINY_OUTPUTS] = { 0 };
    double off;
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        tiny_open(&t, &c, 0);
        for (size_t i = 0; i < TINY_IMAGES * t.image; i++) {
            double u = tiny_uniform();
            size_t row = i / 9 % 12;
            t.input[i] = (float)(kind == 0   ? 1e4 + u
                                 : kind == 1 ? (row == 0 ? -3e3 : 3e3) + u
                                             : 1e3 * (double)row + u);
        }
        tiny_run(&t, &backend_ref, PRECISION_FP32, 3, 1, want, "ref");
        tiny_run(&t, &backend_cpu, PRECISION_FP32, 3, 1, got, "cpu");
        off = tiny_distance(got[0], want[0], TINY_IMAGES * t.count[0]);
        print_message("# kind %d: %.1e of 3e-06\n", kind, off);
        assert_true(off < 3e-6);
        tiny_free(want);
        tiny_free(got);
        tiny_close(&t);
    }
}

/* ---- tokens and rearrangements ---- */

static int embed(graph *g, int x) { return g_embed(g, x, "cls_token", "pos_embed"); }
static int token_first(graph *g, int x) { return g_token(g, x, 0); }
static int token_last(graph *g, int x)
{
    shape s = g_shape(g, x);
    return g_token(g, x, s.h * s.w - 1);
}
static int unfold_7(graph *g, int x) { return g_unfold(g, x, 7, 4, 2); }
static int unfold_3(graph *g, int x) { return g_unfold(g, x, 3, 2, 1); }
static int merge(graph *g, int x) { return g_merge(g, x); }
static int linear(graph *g, int x) { return g_linear(g, x, 21, "fc"); }
static int linear_plain(graph *g, int x) { return g_linear_plain(g, x, 32, "fc"); }
static int linear_gelu(graph *g, int x) { return g_gelu(g, g_linear(g, x, 48, "fc")); }
static int slice(graph *g, int x) { return g_slice(g, x, 5, 9); }
static int slice_end(graph *g, int x) { return g_slice(g, x, g_channels(g, x) - 4, 4); }
static int pad(graph *g, int x) { return g_pad(g, x, 7, 8); }
static int crop(graph *g, int x) { return g_crop(g, x, 3, 4); }
static int crop_to_one(graph *g, int x) { return g_crop(g, x, 1, 1); }
static int pad_and_crop(graph *g, int x)
{
    shape s = g_shape(g, x);
    return g_crop(g, g_pad(g, x, s.h + 3, s.w + 2), s.h, s.w);
}

static int attention(graph *g, int x) { return g_attention(g, x, 3, 0.25f); }
static int window(graph *g, int x) { return g_window_attention(g, x, 2, 3, 0, "table"); }
static int window_shifted(graph *g, int x) { return g_window_attention(g, x, 2, 3, 1, "table"); }
static int performer(graph *g, int x) { return g_performer(g, x, 11, "features"); }

/* A whole transformer. */
static int transformer(graph *g, int x)
{
    int y, tokens = embed(g, g_conv_bias(g, x, 24, 4, 4, 0, "patch"));
    y = g_linear(g, g_layernorm(g, tokens, 1e-6f, "n0"), 72, "qkv");
    tokens = g_add(g, tokens, g_linear(g, attention(g, y), 24, "proj"));
    y = g_linear(g, g_layernorm(g, tokens, 1e-6f, "n1"), 96, "a");
    tokens = g_add(g, tokens, g_linear(g, g_gelu(g, y), 24, "b"));
    return g_linear(g, g_token(g, g_layernorm(g, tokens, 1e-6f, "n2"), 0), 10, "head");
}

/* Without attention. */
static int mlp_block(graph *g, int x)
{
    int y, tokens = embed(g, g_conv_bias(g, x, 24, 4, 4, 0, "patch"));
    y = g_linear(g, g_gelu(g, g_linear(g, g_layernorm(g, tokens, 1e-6f, "n"), 96, "a")), 24, "b");
    y = g_layernorm(g, g_add(g, tokens, y), 1e-6f, "norm");
    return g_linear(g, g_token(g, y, 0), 10, "head");
}

static const tiny_case rearrangements[] = {
    { "embed", embed, 20, 3, 5, 1, 0, 0 },
    { "embed one patch", embed, 17, 1, 1, 1, 0, 0 },
    { "token 0", token_first, 18, 6, 1, 0, 0, 0 },
    { "last token", token_last, 33, 3, 4, 0, 0, 0 },
    { "token of one", token_first, 12, 1, 1, 0, 0, 0 },
    { "unfold 7, stride 4", unfold_7, 3, 13, 17, 0, 0, 0 },
    { "unfold 3, stride 2", unfold_3, 19, 5, 6, 0, 0, 0 },
    { "unfold one pixel", unfold_3, 4, 1, 1, 0, 0, 0 },
    { "unfold to one pixel", unfold_3, 4, 2, 2, 0, 0, 0 },
    { "merge, odd height", merge, 6, 5, 4, 0, 0, 0 },
    { "merge, odd sides", merge, 16, 3, 7, 0, 0, 0 },
    { "merge, even sides", merge, 5, 4, 6, 0, 0, 0 },
    { "merge of four to one", merge, 7, 2, 2, 0, 0, 0 },
    { "merge of one pixel", merge, 7, 1, 1, 0, 0, 0 },
    { "linear on a map", linear, 40, 3, 5, 1, 0, 0 },
    { "linear on tokens", linear_plain, 23, 17, 1, 1, 0, 0 },
    { "linear on a vector", linear, 30, 1, 1, 0, 0, 0 },
    { "linear and gelu", linear_gelu, 48, 5, 3, 1, 0, 0 },
    { "linear and gelu on a vector", linear_gelu, 31, 1, 1, 0, 0, 0 },
    { "slice", slice, 16, 4, 3, 0, 0, 0 },
    { "slice at the end", slice_end, 7, 2, 5, 0, 0, 0 },
    { "slice of a vector", slice, 16, 1, 1, 0, 0, 0 },
    { "pad", pad, 6, 5, 8, 0, 0, 0 },
    { "pad of one pixel", pad, 6, 1, 1, 1, 0, 0 },
    { "crop", crop, 6, 5, 4, 0, 0, 0 },
    { "crop to one pixel", crop_to_one, 6, 5, 4, 0, 0, 0 },
    { "pad and crop", pad_and_crop, 9, 3, 3, 0, 0, 0 },
    { "attention", attention, 45, 3, 5, 1, 0, 0 },
    { "attention of one token", attention, 9, 1, 1, 0, 0, 0 },
    { "attention in windows", window, 30, 6, 9, 1, 0, 0 },
    { "attention in shifted windows", window_shifted, 24, 9, 6, 1, 0, 0 },
    { "performer", performer, 30, 13, 1, 1, 0, 0 },
    { "a transformer", transformer, 3, 12, 8, 8, 0, 0 },
    { "a block of tokens", mlp_block, 3, 12, 8, 4, 0, 0 },
};

static void rearrangements_agree(void **state)
{
    (void)state;
    tiny_compare_all(rearrangements, LENGTH(rearrangements));
}

/* ---- how a map is stored ---- */

static void layouts_are_the_modules(void **state)
{
    static const tiny_case c = { "layout", linear, 6, 3, 5, 1, 0, 0 };
    static const tap_layout layouts[] = { TAP_CHW, TAP_HWC, TAP_TOKENS };
    float *plain[TINY_OUTPUTS] = { 0 }, *got[TINY_OUTPUTS] = { 0 }, *ref[TINY_OUTPUTS] = { 0 };
    (void)state;
    for (int bf = 0; bf < 2; bf++) {
        precision p = bf ? PRECISION_BF16 : PRECISION_FP32;
        if (bf && conv_kernel_bf16() == NULL) continue;
        for (int k = 0; k < 3; k++) {
            tiny_net t;
            tiny_open(&t, &c, 0);
            g_tap_as(t.g, t.requests[0].node, "tap", layouts[k]);
            tiny_run(&t, &backend_cpu, p, 3, 1, got, "cpu");
            tiny_run(&t, &backend_ref, PRECISION_FP32, 3, 1, ref, "ref");
            assert_true(tiny_distance(got[0], ref[0], TINY_IMAGES * t.count[0]) < (bf ? 0x1p-7 : 3e-6));
            for (size_t i = 0; i < 3; i++)
                for (size_t ch = 0; ch < 21 && k > 0; ch++)
                    for (size_t at = 0; at < 15; at++)
                        assert_true(got[0][(i * 15 + at) * 21 + ch] ==
                                    plain[0][(i * 21 + ch) * 15 + at]);
            if (k == 0) {
                plain[0] = got[0];
                got[0] = NULL;
            }
            tiny_free(got);
            tiny_free(ref);
            tiny_close(&t);
        }
        tiny_free(plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_agree),
        cmocka_unit_test(means_do_not_drown_deviations),
        cmocka_unit_test(rearrangements_agree),
        cmocka_unit_test(layouts_are_the_modules),
    };
    return cmocka_run_group_tests_name("cpu tokens", tests, NULL, NULL);
}
