#include "extract/models/encoder.h"

#include <math.h>

/* Attention of layer `at` before its projection. */
static int attended(graph *g, const encoder *e, int x, const char *at)
{
    const char *qkv = g_name(g, "%s.attn.qkv", at);
    int y = g_layernorm(g, x, e->eps, g_name(g, "%s.norm1", at));
    y = e->qkv_bias ? g_linear(g, y, 3 * e->width, qkv) : g_linear_plain(g, y, 3 * e->width, qkv);
    return g_attention(g, y, e->heads, (float)(1 / sqrt((double)e->width / e->heads)));
}

/* The rest of the layer, for all tokens or for one. */
static int completed(graph *g, const encoder *e, int x, int y, const char *at, const char *tap)
{
    x = g_add(g, x, g_linear(g, y, e->width, g_name(g, "%s.attn.proj", at)));
    y = g_layernorm(g, x, e->eps, g_name(g, "%s.norm2", at));
    if (tap != NULL) g_tap_as(g, y, g_name(g, "%s.%s", tap, e->norm2), TAP_TOKENS);
    y = g_gelu(g, g_linear(g, y, e->hidden, g_name(g, "%s.mlp.fc1", at)));
    y = g_add(g, x, g_linear(g, y, e->width, g_name(g, "%s.mlp.fc2", at)));
    return tap != NULL ? g_tap_as(g, y, tap, TAP_TOKENS) : y;
}

int encoder_build(graph *g, int x, const encoder *e)
{
    int one = -1;
    for (int i = 0; i < e->depth; i++) {
        const char *at = g_name(g, "blocks.%d", i), *tap = g_name(g, "%s%d", e->blocks, i);
        int y = attended(g, e, x, at), all = completed(g, e, x, y, at, tap);
        if (i == e->depth - 1)
            one = completed(g, e, g_token(g, x, 0), g_token(g, y, 0), at, NULL);
        x = all;
    }
    x = g_tap_as(g, g_layernorm(g, x, e->eps, "norm"), e->norm, TAP_TOKENS);
    one = g_layernorm(g, one, e->eps, "norm");
    g_bypass(g, one, g_token(g, x, 0));
    return one;
}
