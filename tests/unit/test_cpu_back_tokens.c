/* The CPU backend's gradients of norms, tokens and attention, and what probes add, against the reference: as
 * test_cpu_back. */
#include "tests/unit/tiny_gradient.h"

#include <omp.h>

/* ---- norms, tokens, attention -------------------------------------------------------------------- */

BACK(layernorm, g_layernorm(g, x, 1e-6f, "n"))
BACK(layernorm_sum, g_add(g, x, g_gelu(g, g_layernorm(g, x, 1e-6f, "n"))))
BACK(groupnorm, g_groupnorm(g, x, 4, "n"))
BACK(groupnorm_sum, g_add(g, x, g_silu(g, g_groupnorm(g, x, 4, "n"))))
BACK(embed, g_embed(g, x, "cls.token", "pos.token"))
BACK(token, g_token(g, g_gelu(g, x), 3))
BACK(unfold, g_unfold(g, x, 7, 4, 2))
BACK(unfold_3, g_unfold(g, x, 3, 2, 1))
BACK(merge, g_merge(g, x))
BACK(attention_2, g_attention(g, x, 2, 0.35f))
BACK(attention_one, g_attention(g, x, 1, 0.125f))
BACK(performer, g_performer(g, x, 20, "w.features"))
static int window(graph *g, int x)
{
    return gradient(g, x, g_window_attention(g, x, 2, 3, 0, "table"));
}
static int window_shift(graph *g, int x)
{
    return gradient(g, x, g_window_attention(g, x, 3, 4, 2, "table"));
}

static int block(graph *g, int x) /* of a transformer */
{
    int c = g_channels(g, x);
    int y = g_linear(g, g_layernorm(g, x, 1e-6f, "n1"), 3 * c, "qkv");
    x = g_add(g, x, g_linear(g, g_attention(g, y, 2, 0.3f), c, "proj"));
    y = g_gelu(g, g_linear(g, g_layernorm(g, x, 1e-6f, "n2"), 4 * c, "fc1"));
    return g_add(g, x, g_linear(g, y, c, "fc2"));
}
static int transformer(graph *g, int x)
{
    int t = g_embed(g, g_conv_bias(g, x, 24, 4, 4, 0, "patch"), "cls.token", "pos.token");
    return gradient(g, x, g_token(g, g_layernorm(g, block(g, t), 1e-6f, "last"), 0));
}
static int scaled_block(graph *g, int x) /* ConvNeXt */
{
    int c = g_channels(g, x), in = g_conv_bias(g, x, c, 1, 1, 0, "first");
    int y = g_layernorm(g, g_conv_depthwise_bias(g, in, 7, 1, 3, "d"), 1e-6f, "n");
    y = g_linear(g, g_gelu(g, g_linear(g, y, 4 * c, "fc1")), c, "fc2");
    return gradient(g, x, g_add(g, in, g_scale(g, y, "gamma.weight")));
}
static int bit_block(graph *g, int x)
{
    int a = g_relu(g, g_groupnorm(g, x, 4, "n1"));
    int y = g_conv_standardised(g, a, 16, 1, 1, 0, "c1");
    y = g_conv_standardised(g, g_relu(g, g_groupnorm(g, y, 4, "n2")), 16, 3, 2, 1, "c2");
    y = g_conv_standardised(g, g_relu(g, g_groupnorm(g, y, 4, "n3")), 40, 1, 1, 0, "c3");
    return gradient(g, x, g_add(g, g_conv_standardised(g, a, 40, 1, 2, 0, "d"), y));
}

static const tiny_case tokens[] = {
    { "layer norm", layernorm, 40, 5, 4, 4, 0, 0 },
    { "layer norm of a vector", layernorm, 70, 1, 1, 4, 0, 0 },
    { "layer norm in a sum", layernorm_sum, 33, 5, 4, 6, 0, 0 },
    { "group norm", groupnorm, 36, 9, 7, 4, 0, 0 },
    { "group norm of many pixels", groupnorm, 64, 20, 21, 4, 0, 0 },
    { "group norm in a sum", groupnorm_sum, 20, 9, 4, 6, 0, 0 },
    { "class token and positions", embed, 20, 4, 3, 4, 0, 0 },
    { "one token", token, 20, 4, 3, 6, 0, 0 },
    { "unfold 7x7", unfold, 3, 16, 13, 4, 0, 0 },
    { "unfold 3x3", unfold_3, 8, 9, 8, 4, 0, 0 },
    { "merge", merge, 10, 6, 8, 4, 0, 0 },
    { "merge of odd sides", merge, 10, 5, 7, 4, 0, 0 },
    { "merge to a vector", merge, 10, 2, 2, 4, 0, 0 },
    { "attention of 2 heads", attention_2, 48, 17, 1, 6, 0, 0 },
    { "attention of 197 tokens", attention_2, 3 * 128, 197, 1, 6, 0, 0 },
    { "attention of many tokens", attention_one, 3 * 20, 30, 30, 6, 0, 0 },
    { "attention of one token", attention_2, 24, 1, 1, 6, 0, 0 },
    { "windows", window, 36, 6, 9, 6, 0, 0 },
    { "shifted windows", window_shift, 3 * 30, 8, 12, 6, 0, 0 },
    { "performer", performer, 3 * 24, 20, 19, 8, 0, 0 },
    { "transformer", transformer, 3, 16, 12, 24, 0, 0 },
    { "block of ConvNeXt", scaled_block, 20, 9, 8, 12, 0, 0 },
    { "block of BiT", bit_block, 24, 9, 8, -1, 0, 0 },
};

static void tokens_agree(void **state)
{
    (void)state;
    tiny_compare_all(tokens, LENGTH(tokens));
}

/* ---- probes -------------------------------------------------------------------------------------- */

static int vector(graph *g, int x) { return g_linear(g, g_gap(g, x), 15, "fc"); }
static int cotangent_ce(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_CE, 3, 0); }
static int cotangent_uniform(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_UNIFORM, 1, 0); }
static int cotangent_lse(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_LOGSUMEXP, 1, 0); }
static int cotangent_max(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_MAX, 1, 0); }
static int cotangent_logit(graph *g, int x) { return g_cotangent(g, vector(g, x), COTANGENT_LOGIT, 1, 4); }
static int sum(graph *g, int x) { return g_sum(g, x); }

static int gaussian(graph *g, int x)
{
    enum { D = 15, CLASSES = 6 };
    static float means[CLASSES * D], inverse[D * D];
    for (int i = 0; i < CLASSES * D; i++)
        means[i] = (float)((i * 37 % 101) - 50) / 60;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++)
            inverse[i * D + j] = (i == j ? 3.0f : 0.0f) + (float)((i + 1) * (j + 1) % 7) / 20;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < i; j++)
            inverse[i * D + j] = inverse[j * D + i];
    return g_gaussian(g, vector(g, x), g_constant(g, "m", 2, (int[]){ CLASSES, D }, means),
                      g_constant(g, "p", 2, (int[]){ D, D }, inverse));
}

/* x changed by its gradient of a scalar of two layers. */
static int perturbed(graph *g, int x, perturb_kind kind, float share)
{
    static const float divisor[] = { 0.5f, 1, 2 };
    int back, y = vector(g, g_silu(g, g_conv_bias(g, x, 10, 3, 1, 1, "c")));
    graph_backward(g, y, g_cotangent(g, y, COTANGENT_CE, 1, 0), &x, 1, &back);
    return g_perturb(g, x, back, kind, 0.25f, share, divisor);
}
static int perturb_sign(graph *g, int x) { return perturbed(g, x, PERTURB_SIGN, 0); }
static int perturb_sign_0(graph *g, int x) { return perturbed(g, x, PERTURB_SIGN0, 0); }
static int perturb_largest(graph *g, int x) { return perturbed(g, x, PERTURB_LARGEST, 0); }
static int perturb_smallest(graph *g, int x) { return perturbed(g, x, PERTURB_SMALLEST, 0.3f); }
static int perturb_fgsm(graph *g, int x) { return perturbed(g, x, PERTURB_FGSM, 0); }
/* ReLU leaves zeros, which are equal: the first ones in the order of [c,h,w] go first. */
static int perturb_ties(graph *g, int x)
{
    int back, y = g_relu(g, g_conv_depthwise(g, x, 1, 1, 0, "c"));
    graph_backward(g, y, g_silu(g, y), &x, 1, &back);
    return g_perturb(g, x, back, PERTURB_SMALLEST, 0.25f, 0.2f, NULL);
}
/* ODIN: the network again, on an image changed by its gradient. */
static int again(graph *g, int x)
{
    int back, to, out, y = vector(g, g_silu(g, g_batchnorm(g, g_conv(g, x, 20, 3, 2, 1, "c"), "n")));
    graph_backward(g, y, g_cotangent(g, y, COTANGENT_CE, 1, 0), &x, 1, &back);
    to = g_perturb(g, x, back, PERTURB_SIGN, 0.25f, 0, NULL);
    graph_replay(g, &(replay){ .from = &x, .to = &to, .n = 1 }, &y, 1, &out);
    return g_add(g, y, out);
}
static int gram(graph *g, int x) { return g_gram(g, x, 4); }

static const tiny_case probes[] = {
    { "cross entropy", cotangent_ce, 9, 4, 3, 4, 0, 0 },
    { "to the uniform distribution", cotangent_uniform, 9, 4, 3, 4, 0, 0 },
    { "log-sum-exp", cotangent_lse, 9, 4, 3, 4, 0, 0 },
    { "largest logit", cotangent_max, 9, 4, 3, -1, 0, 0 },
    { "one logit", cotangent_logit, 9, 4, 3, 4, 0, 0 },
    { "sum", sum, 40, 5, 7, 4, 0, 0 },
    { "Gaussian score", gaussian, 9, 4, 3, -1, 0, 0 },
    { "sign", perturb_sign, 3, 7, 6, -1, 0, 0 },
    { "sign or zero", perturb_sign_0, 3, 7, 6, -1, 0, 0 },
    { "largest gradient", perturb_largest, 3, 7, 6, -1, 0, 0 },
    { "smallest gradients", perturb_smallest, 3, 7, 6, -1, 0, 0 },
    { "smallest gradients of equals", perturb_ties, 3, 7, 6, -1, 0, 0 },
    { "FGSM", perturb_fgsm, 3, 7, 6, -1, 0, 0 },
    { "the network again", again, 3, 7, 6, -1, 0, 0 },
    { "Gram matrices", gram, 33, 5, 7, 8, 0, 0 },
};

static void probes_agree(void **state)
{
    (void)state;
    tiny_compare_all(probes, LENGTH(probes));
}

/* What the second forward multiplies by is packed once: its steps bring no weights. */
static void twins_share_weights(void **state)
{
    static const tiny_case c = { "again", again, 3, 7, 6, -1, 0, 0 };
    tiny_net t;
    plan *p = NULL;
    int twins = 0;
    (void)state;
    tiny_open(&t, &c, 0);
    tiny_must(plan_build(&p, t.g, t.w, t.requests, 1, PLAN_GRADIENTS), "plan");
    for (size_t i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        if (s->twin < 0) continue;
        twins++;
        assert_null(s->w);
        assert_int_equal(p->steps[s->twin].op, s->op);
        assert_string_equal(p->steps[s->twin].name, s->name);
        assert_non_null(p->steps[s->twin].w);
    }
    assert_int_equal(twins, 2); /* c and fc */
    plan_free(&p);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_agree),
        cmocka_unit_test(probes_agree),
        cmocka_unit_test(twins_share_weights),
    };
    omp_set_num_threads(1); /* of the reference: a few hundred elements */
    return cmocka_run_group_tests_name("cpu gradients of tokens, probes", tests, NULL, NULL);
}
