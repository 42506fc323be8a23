/* One network per adjoint and per geometry that the networks have, and one per op that probes add.  The other
 * side, in PyTorch and numpy, is tests/golden/make_adjoints.py. */
#ifndef OUTPOST_TESTS_ADJOINT_CASES_H
#define OUTPOST_TESTS_ADJOINT_CASES_H

#include "extract/adjoint.h"
#include "tests/lib/hash_golden.h"

#include <math.h>

typedef enum case_kind {
    SMOOTH,  /* gradient, everywhere differentiable */
    KINKED,  /* gradient; the input keeps away from kinks by half a step of its grid */
    TIES,    /* gradient on an input of few values, on kinks and among equals: a convention decides */
    VALUE    /* the node itself, no gradient */
} case_kind;

typedef struct adjoint_case {
    const char *name;
    case_kind kind;
    int (*build)(graph *g, int x); /* from the input to the op's output */
    int c, h, w;                   /* input */
    float scale, offset;           /* input: offset + scale u */
} adjoint_case;

/* Input element i: u on a grid of 2^-11 from its middles, or of few values. */
static inline float case_input(const adjoint_case *c, size_t i)
{
    double u = hash_uniform(c->name, i);
    u = c->kind == TIES ? floor(u * 2) : (floor(u * 2048) + 0.5) / 2048;
    return (float)((double)c->offset + (double)c->scale * u);
}

/* Logits that see every element of y differently. */
static inline int case_tail(graph *g, int y)
{
    shape s = g_shape(g, y);
    y = g_gelu(g, y);
    if (s.h * s.w > 1) y = g_gap(g, g_conv_bias(g, y, 4, 3, 1, 1, "tail.conv"));
    return g_linear(g, y, 5, "tail.fc");
}

/* From the input to what is compared: the gradient of logsumexp of the tail, or the value. */
static inline int case_result(graph *g, int x, const adjoint_case *c)
{
    int y = c->build(g, x), z, out;
    if (c->kind == VALUE) {
        g_logits(g, case_tail(g, x)); /* so that a checkpoint has something to hold */
        return y;
    }
    z = case_tail(g, y);
    g_logits(g, z);
    graph_backward(g, z, g_cotangent(g, z, COTANGENT_LOGSUMEXP, 1, 0), &x, 1, &out);
    return out;
}

/* ---- products ----------------------------------------------------------------------------------- */

#define BUILD(name, expr)                                                                          \
    static int name(graph *g, int x)                                                               \
    {                                                                                              \
        return expr;                                                                               \
    }

BUILD(conv_1x1, g_conv(g, x, 5, 1, 1, 0, "op"))
BUILD(conv_1x1_s2, g_conv(g, x, 5, 1, 2, 0, "op"))
BUILD(conv_3x3, g_conv_bias(g, x, 5, 3, 1, 1, "op"))
BUILD(conv_3x3_s2, g_conv(g, x, 5, 3, 2, 1, "op"))
BUILD(conv_3x3_s2_p0, g_conv_bias(g, x, 5, 3, 2, 0, "op"))
BUILD(conv_7x7_s2, g_conv(g, x, 5, 7, 2, 3, "op"))
BUILD(conv_7x7_s2_p0, g_conv(g, x, 5, 7, 2, 0, "op"))
BUILD(conv_2x2_s2, g_conv_bias(g, x, 5, 2, 2, 0, "op"))
BUILD(conv_4x4_s4, g_conv_bias(g, x, 5, 4, 4, 0, "op"))
BUILD(depthwise_3x3, g_conv_depthwise(g, x, 3, 1, 1, "op"))
BUILD(depthwise_3x3_s2, g_conv_depthwise(g, x, 3, 2, 1, "op"))
BUILD(depthwise_5x5_s2, g_conv_depthwise(g, x, 5, 2, 2, "op"))
BUILD(depthwise_7x7, g_conv_depthwise_bias(g, x, 7, 1, 3, "op"))
BUILD(groups_3x3, g_conv_groups(g, x, 6, 3, 1, 1, 2, "op"))
BUILD(groups_3x3_s2, g_conv_groups(g, x, 9, 3, 2, 1, 3, "op"))
BUILD(standardised_1x1, g_conv_standardised(g, x, 5, 1, 1, 0, "op"))
BUILD(standardised_3x3_s2, g_conv_standardised(g, x, 5, 3, 2, 1, "op"))
BUILD(linear, g_linear(g, x, 6, "op"))
BUILD(linear_plain, g_linear_plain(g, x, 6, "op"))
BUILD(conv_norm, g_batchnorm(g, g_conv(g, x, 4, 3, 1, 1, "conv"), "op"))

/* RepVGG's block: three branches of one map. */
static int parallel(graph *g, int x)
{
    int a = g_batchnorm(g, g_conv(g, x, 3, 3, 1, 1, "three"), "bn3");
    int b = g_batchnorm(g, g_conv(g, x, 3, 1, 1, 0, "one"), "bn1");
    return g_relu(g, g_add(g, g_add(g, a, b), g_batchnorm(g, x, "bn0")));
}

/* The same weights twice. */
static int shared(graph *g, int x)
{
    return g_linear(g, g_gelu(g, g_linear(g, x, 4, "op")), 4, "op");
}

/* ---- norms and curves --------------------------------------------------------------------------- */

BUILD(batchnorm, g_batchnorm(g, x, "op"))
BUILD(groupnorm, g_groupnorm(g, x, 2, "op"))
BUILD(layernorm, g_layernorm(g, x, 1e-6f, "op"))
BUILD(relu, g_relu(g, x))
BUILD(relu6, g_relu6(g, x))
BUILD(gelu, g_gelu(g, x))
BUILD(silu, g_silu(g, x))
BUILD(sigmoid, g_sigmoid(g, x))
BUILD(scale, g_scale(g, x, "op.gamma"))

/* Squeeze and excitation, and a gate that is no function of its map. */
static int gate(graph *g, int x)
{
    return g_gate(g, x, g_sigmoid(g, g_linear(g, g_gap(g, x), 4, "op")));
}

/* ---- pools and places --------------------------------------------------------------------------- */

BUILD(maxpool, g_maxpool(g, x, 3, 2, 1, 0))
BUILD(maxpool_ceil, g_maxpool(g, x, 3, 2, 0, 1))
BUILD(maxpool_zero_pad, g_maxpool_zero_pad(g, x, 3, 2, 1))
BUILD(avgpool, g_avgpool(g, x, 2, 2))
BUILD(avgpool_ceil, g_avgpool_ceil(g, x, 2, 2))
BUILD(gap, g_gap(g, x))
BUILD(slice, g_slice(g, x, 1, 3))
BUILD(pad, g_pad(g, x, 6, 7))
BUILD(crop, g_crop(g, x, 3, 4))
BUILD(shortcut_a, g_shortcut_a(g, x, 6))
BUILD(twice, g_add(g, x, x))
BUILD(residual, g_add(g, g_conv(g, x, 4, 3, 1, 1, "op"), x))

/* DenseNet's: what is joined is read again; odd channels; one part twice. */
static int concat(graph *g, int x)
{
    int a = g_conv(g, x, 3, 3, 1, 1, "one"), b = g_concat(g, (const int[]){ x, a }, 2);
    int c = g_conv(g, g_gelu(g, b), 2, 1, 1, 0, "two");
    return g_concat(g, (const int[]){ b, c, a }, 3);
}

/* ---- transformers ------------------------------------------------------------------------------- */

BUILD(embed, g_embed(g, x, "op.cls_token", "op.pos_embed"))
BUILD(token, g_token(g, x, 2))
BUILD(attention, g_attention(g, x, 2, 0.5f))
BUILD(performer, g_performer(g, x, 6, "op.w"))
BUILD(unfold, g_unfold(g, x, 3, 2, 1))
BUILD(unfold_7, g_unfold(g, x, 7, 4, 2))
BUILD(merge, g_merge(g, x))

static int windows(graph *g, int x, int shift)
{
    x = g_linear(g, x, 24, "op.qkv");
    x = g_window_attention(g, x, 2, 3, shift, "op.relative_position_bias_table");
    return g_linear(g, x, 8, "op.proj");
}

BUILD(windows_still, windows(g, x, 0))
BUILD(windows_shifted, windows(g, x, 1))

/* A class token that is read beside all tokens. */
static int tokens(graph *g, int x)
{
    int all = g_attention(g, g_linear(g, g_embed(g, x, "op.cls_token", "op.pos_embed"), 12, "op"), 2, 0.7f);
    return g_add(g, g_token(g, all, 0), g_gap(g, all));
}

/* ---- what probes add ---------------------------------------------------------------------------- */

BUILD(sum, g_sum(g, x))
BUILD(ce, g_cotangent(g, x, COTANGENT_CE, 4, 0))
BUILD(ce_1000, g_cotangent(g, x, COTANGENT_CE, 1000, 0))
BUILD(uniform_kl, g_cotangent(g, x, COTANGENT_UNIFORM, 1, 0))
BUILD(logsumexp, g_cotangent(g, x, COTANGENT_LOGSUMEXP, 1, 0))
BUILD(max_logit, g_cotangent(g, x, COTANGENT_MAX, 1, 0))
BUILD(logit_3, g_cotangent(g, x, COTANGENT_LOGIT, 1, 3))

static int hash_constant(graph *g, const char *name, int rows, int cols, int symmetric)
{
    float v[64];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            int a = symmetric && j < i ? j : i, b = symmetric && j < i ? i : j;
            v[i * cols + j] = (float)hash_uniform(name, (unsigned long)(a * cols + b)) + (symmetric && i == j ? 3.0f : 0.0f);
        }
    return g_constant(g, name, cols > 1 ? 2 : 1, (const int[]){ rows, cols }, v);
}

BUILD(gaussian, g_gaussian(g, x, hash_constant(g, "means", 5, 6, 0), hash_constant(g, "precision", 6, 6, 1)))

/* The gradient of the Gaussian score of a layer's means, at the input. */
static int gaussian_back(graph *g, int x)
{
    int y = g_gap(g, g_gelu(g, g_conv_bias(g, x, 6, 3, 1, 1, "op"))), out;
    int q = g_gaussian(g, y, hash_constant(g, "means", 5, 6, 0), hash_constant(g, "precision", 6, 6, 1));
    graph_backward(g, y, q, &x, 1, &out);
    return out;
}

static const float thirds[3] = { 0.229f, 0.224f, 0.225f };

/* The gradient is a rectified map: many zeros. */
static int rectified(graph *g, int x)
{
    return g_relu(g, g_conv(g, x, 3, 3, 1, 1, "op"));
}

/* As it is, both signs. */
BUILD(odin, g_perturb(g, x, g_conv(g, x, 3, 3, 1, 1, "op"), PERTURB_SIGN, 0.0014f, 0, thirds))
BUILD(odin_zeros, g_perturb(g, x, rectified(g, x), PERTURB_SIGN, 0.004f, 0, NULL))
BUILD(sign0_zeros, g_perturb(g, x, rectified(g, x), PERTURB_SIGN0, 0.004f, 0, NULL))
BUILD(largest, g_perturb(g, x, g_conv(g, x, 3, 3, 1, 1, "op"), PERTURB_LARGEST, 0.5f, 0, NULL))
BUILD(smallest, g_perturb(g, x, g_conv(g, x, 3, 3, 1, 1, "op"), PERTURB_SMALLEST, 0.5f, 0.1, NULL))
BUILD(smallest_zeros, g_perturb(g, x, rectified(g, x), PERTURB_SMALLEST, 0.5f, 0.7, NULL))
BUILD(fgsm, g_perturb(g, x, rectified(g, x), PERTURB_FGSM, 0.05f, 0, NULL))
BUILD(deflated, g_deflate(g, x, DEFLATE_EXACT, 0, -1))
BUILD(power, g_deflate(g, x, DEFLATE_POWER, 20, hash_constant(g, "start", 6, 1, 0)))
BUILD(grams, g_gram(g, x, 5))

/* Weights without their `removals` largest components, exchanged in a second forward. */
static int lighter(graph *g, int x, int removals)
{
    int y = g_conv_bias(g, x, 6, 3, 1, 1, "op"), out, from, to;
    if (y < 0) return y;
    from = graph_node(g, y)->weight;
    to = g_deflated(g, from, removals);
    graph_replay(g, &(replay){ .param = &from, .instead = &to, .n_params = 1 }, &y, 1, &out);
    return out;
}

BUILD(lighter_1, lighter(g, x, 1))
BUILD(lighter_2, lighter(g, x, 2))

static const adjoint_case adjoint_cases[] = {
    { "conv_1x1", SMOOTH, conv_1x1, 4, 5, 6, 1, 0 },
    { "conv_1x1_s2", SMOOTH, conv_1x1_s2, 4, 6, 5, 1, 0 },
    { "conv_3x3", SMOOTH, conv_3x3, 4, 5, 6, 1, 0 },
    { "conv_3x3_s2 even", SMOOTH, conv_3x3_s2, 4, 6, 6, 1, 0 },
    { "conv_3x3_s2 odd", SMOOTH, conv_3x3_s2, 4, 7, 5, 1, 0 },
    { "conv_3x3_s2_p0", SMOOTH, conv_3x3_s2_p0, 3, 7, 8, 1, 0 },
    { "conv_7x7_s2", SMOOTH, conv_7x7_s2, 3, 8, 9, 1, 0 },
    { "conv_7x7_s2_p0", SMOOTH, conv_7x7_s2_p0, 3, 9, 10, 1, 0 },
    { "conv_2x2_s2", SMOOTH, conv_2x2_s2, 4, 6, 5, 1, 0 },
    { "conv_4x4_s4", SMOOTH, conv_4x4_s4, 3, 8, 10, 1, 0 },
    { "depthwise_3x3", SMOOTH, depthwise_3x3, 5, 5, 4, 1, 0 },
    { "depthwise_3x3_s2", SMOOTH, depthwise_3x3_s2, 5, 6, 5, 1, 0 },
    { "depthwise_5x5_s2", SMOOTH, depthwise_5x5_s2, 4, 6, 7, 1, 0 },
    { "depthwise_7x7", SMOOTH, depthwise_7x7, 4, 6, 7, 1, 0 },
    { "groups_3x3", SMOOTH, groups_3x3, 4, 5, 6, 1, 0 },
    { "groups_3x3_s2", SMOOTH, groups_3x3_s2, 6, 6, 5, 1, 0 },
    { "standardised_1x1", SMOOTH, standardised_1x1, 4, 5, 6, 1, 0 },
    { "standardised_3x3_s2", SMOOTH, standardised_3x3_s2, 4, 6, 5, 1, 0 },
    { "linear map", SMOOTH, linear, 4, 3, 5, 1, 0 },
    { "linear vector", SMOOTH, linear, 8, 1, 1, 1, 0 },
    { "linear_plain", SMOOTH, linear_plain, 4, 5, 1, 1, 0 },
    { "conv_norm", SMOOTH, conv_norm, 3, 5, 4, 1, 0 },
    { "parallel", KINKED, parallel, 3, 5, 4, 1, 0 },
    { "shared", SMOOTH, shared, 4, 3, 2, 1, 0 },
    { "batchnorm", SMOOTH, batchnorm, 4, 3, 5, 2, 0.5f },
    { "groupnorm", SMOOTH, groupnorm, 6, 3, 4, 1, 0.5f },
    { "layernorm map", SMOOTH, layernorm, 6, 3, 4, 1, 0.5f },
    { "layernorm vector", SMOOTH, layernorm, 9, 1, 1, 1, 0.5f },
    { "relu", KINKED, relu, 4, 5, 4, 1, 0 },
    { "relu ties", TIES, relu, 4, 5, 4, 1, 0 },
    { "relu6", KINKED, relu6, 4, 5, 4, 4, 3 },
    { "relu6 ties", TIES, relu6, 4, 5, 4, 3, 3 },
    { "gelu", SMOOTH, gelu, 4, 5, 4, 4, 0 },
    { "silu", SMOOTH, silu, 4, 5, 4, 4, 0 },
    { "sigmoid", SMOOTH, sigmoid, 4, 5, 4, 4, 0 },
    { "scale", SMOOTH, scale, 4, 5, 4, 1, 0 },
    { "gate", SMOOTH, gate, 4, 5, 4, 1, 0.25f },
    { "maxpool", KINKED, maxpool, 3, 7, 6, 1, 0 },
    { "maxpool ties", TIES, maxpool, 3, 7, 6, 1, 0 },
    { "maxpool_ceil", KINKED, maxpool_ceil, 3, 8, 6, 1, 0 },
    { "maxpool_ceil ties", TIES, maxpool_ceil, 3, 8, 6, 1, 0 },
    { "maxpool_zero_pad", KINKED, maxpool_zero_pad, 3, 6, 8, 1, -0.5f },
    { "maxpool_zero_pad ties", TIES, maxpool_zero_pad, 3, 6, 8, 1, -1 },
    { "avgpool", SMOOTH, avgpool, 3, 6, 5, 1, 0 },
    { "avgpool_ceil", SMOOTH, avgpool_ceil, 3, 7, 5, 1, 0 },
    { "gap", SMOOTH, gap, 5, 3, 4, 1, 0 },
    { "slice", SMOOTH, slice, 6, 3, 4, 1, 0 },
    { "pad", SMOOTH, pad, 3, 4, 5, 1, 0 },
    { "crop", SMOOTH, crop, 3, 5, 5, 1, 0 },
    { "shortcut_a even", SMOOTH, shortcut_a, 4, 6, 4, 1, 0 },
    { "shortcut_a odd", SMOOTH, shortcut_a, 4, 5, 7, 1, 0 },
    { "twice", SMOOTH, twice, 3, 4, 4, 1, 0 },
    { "residual", SMOOTH, residual, 4, 5, 4, 1, 0 },
    { "concat", SMOOTH, concat, 4, 4, 5, 1, 0 },
    { "embed", SMOOTH, embed, 4, 3, 2, 1, 0 },
    { "token", SMOOTH, token, 5, 3, 2, 1, 0 },
    { "attention", SMOOTH, attention, 12, 3, 3, 1, 0 },
    { "windows_still", SMOOTH, windows_still, 8, 3, 6, 1, 0 },
    { "windows_shifted", SMOOTH, windows_shifted, 8, 6, 6, 1, 0 },
    { "performer", SMOOTH, performer, 9, 4, 3, 1, 0 },
    { "unfold", SMOOTH, unfold, 3, 5, 6, 1, 0 },
    { "unfold_7", SMOOTH, unfold_7, 3, 9, 8, 1, 0 },
    { "merge even", SMOOTH, merge, 3, 4, 6, 1, 0 },
    { "merge odd", SMOOTH, merge, 3, 5, 3, 1, 0 },
    { "tokens", SMOOTH, tokens, 4, 3, 2, 1, 0 },
    { "sum", VALUE, sum, 5, 3, 4, 1, 0 },
    { "ce", VALUE, ce, 9, 1, 1, 8, 0 },
    { "ce_1000", VALUE, ce_1000, 9, 1, 1, 8, 0 },
    { "uniform_kl", VALUE, uniform_kl, 9, 1, 1, 8, 0 },
    { "logsumexp", VALUE, logsumexp, 9, 1, 1, 8, 0 },
    { "max_logit", VALUE, max_logit, 9, 1, 1, 8, 0 },
    { "logit_3", VALUE, logit_3, 9, 1, 1, 8, 0 },
    { "gaussian", VALUE, gaussian, 6, 1, 1, 2, 0 },
    { "gaussian_back", VALUE, gaussian_back, 3, 5, 4, 1, 0 },
    { "odin", VALUE, odin, 3, 6, 5, 1, 0 },
    { "odin_zeros", VALUE, odin_zeros, 3, 6, 5, 1, 0 },
    { "sign0_zeros", VALUE, sign0_zeros, 3, 6, 5, 1, 0 },
    { "largest", VALUE, largest, 3, 6, 5, 1, 0 },
    { "smallest", VALUE, smallest, 3, 6, 5, 1, 0 },
    { "smallest_zeros", VALUE, smallest_zeros, 3, 6, 5, 1, 0 },
    { "fgsm", VALUE, fgsm, 3, 6, 5, 2, 0 },
    { "deflated wide", VALUE, deflated, 6, 4, 5, 1, 0.25f },
    { "deflated tall", VALUE, deflated, 40, 4, 8, 1, 0.25f },
    { "power", VALUE, power, 6, 4, 5, 1, 0.25f },
    { "grams", VALUE, grams, 5, 4, 3, 1, 0 },
    { "lighter_1", VALUE, lighter_1, 4, 5, 4, 1, 0 },
    { "lighter_2", VALUE, lighter_2, 4, 5, 4, 1, 0 },
};

enum { ADJOINT_CASES = sizeof adjoint_cases / sizeof *adjoint_cases };

#endif
