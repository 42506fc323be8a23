/* Tokens-to-Token ViT.  Yuan et al., ICCV 2021, arXiv:2101.11986, as in yitu-opensource/T2T-ViT; layer
 * norms with eps 1e-5, the published names.
 *   input [3,224,224] -> tokens [d,197] -> features [d]: class token after the last norm, signed
 * Token stages: soft split (unfold), then attention with one head of width 64.  Its skip is v, as the
 * widths differ; its scale comes from the width of what it reads, 147^-1/2 and 576^-1/2.
 *   t2t_vit_t_N  softmax attention, q, k, v without bias ("82.6_T2T_ViTt_24.pth.tar")
 *   t2t_vit_N    performer (Choromanski et al., ICLR 2021, arXiv:2009.14794), k, q, v with bias
 * The main layers have q, k, v without bias, scale 64^-1/2, and an MLP of ratio 3. */
#include "extract/model.h"
#include "extract/models/encoder.h"
#include "extract/models/stats.h"

#include <math.h>

enum { TOKEN = 64, FEATURES = 32, HEAD = 64 };

static const float EPS = 1e-5f;

typedef struct t2t_cfg {
    int depth, heads;
    int performer;
} t2t_cfg;

/* A map [n,h,w] -> [64,h,w]. */
static int token_attention(graph *g, int x, int performer, const char *at)
{
    int n = g_channels(g, x), y, v;
    x = g_layernorm(g, x, EPS, g_name(g, "%s.norm1", at));
    if (performer) {
        x = g_linear(g, x, 3 * TOKEN, g_name(g, "%s.kqv", at));
        y = g_performer(g, x, FEATURES, g_name(g, "%s.w", at));
    } else {
        x = g_linear_plain(g, x, 3 * TOKEN, g_name(g, "%s.attn.qkv", at));
        y = g_attention(g, x, 1, (float)(1 / sqrt((double)n)));
    }
    v = g_slice(g, x, 2 * TOKEN, TOKEN);
    return g_add(g, v, g_linear(g, y, TOKEN, g_name(g, performer ? "%s.proj" : "%s.attn.proj", at)));
}

static int token_stage(graph *g, int x, int performer, const char *at)
{
    int y;
    x = token_attention(g, x, performer, at);
    y = g_layernorm(g, x, EPS, g_name(g, "%s.norm2", at));
    y = g_linear(g, y, TOKEN, g_name(g, performer ? "%s.mlp.0" : "%s.mlp.fc1", at));
    y = g_linear(g, g_gelu(g, y), TOKEN, g_name(g, performer ? "%s.mlp.2" : "%s.mlp.fc2", at));
    return g_tap_as(g, g_add(g, x, y), at, TAP_TOKENS);
}

static void build(graph *g, const model *m, int classes)
{
    const t2t_cfg *cfg = m->cfg;
    const encoder e = { .width = HEAD * cfg->heads, .depth = cfg->depth, .heads = cfg->heads,
                        .hidden = 3 * HEAD * cfg->heads, .eps = EPS, .blocks = "blocks.",
                        .norm2 = "norm2", .norm = "norm" };
    int x = g_unfold(g, g_input(g, 3, m->prep.side, m->prep.side), 7, 4, 2);
    x = token_stage(g, x, cfg->performer, "tokens_to_token.attention1");
    x = token_stage(g, g_unfold(g, x, 3, 2, 1), cfg->performer, "tokens_to_token.attention2");
    x = g_linear(g, g_unfold(g, x, 3, 2, 1), e.width, "tokens_to_token.project");
    g_tap_as(g, x, "tokens_to_token.project", TAP_TOKENS);
    x = encoder_build(g, g_embed(g, x, "cls_token", "pos_embed"), &e);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "head"));
    g_head(g, "head");
}

#define T2T(id, words, layers, n, linear)                                                          \
    const model model_##id = {                                                                     \
        .name = #id,                                                                               \
        .about = words,                                                                            \
        .paper = "Yuan et al., ICCV 2021, arXiv:2101.11986",                                       \
        .layouts = "T2T-ViT",                                                                      \
        .build = build,                                                                            \
        .cfg = &(const t2t_cfg){ layers, n, linear },                                              \
        .prep = { .side = 224, .preset = "timm", .resize_short = 248, .filter = RESIZE_BICUBIC,    \
                  IMAGENET_STATS },                                                                \
        .classifier = "head",                                                                      \
        .classes = 1000,                                                                           \
    }

T2T(t2t_vit_t_14, "T2T-ViT_t-14", 14, 6, 0);
T2T(t2t_vit_t_19, "T2T-ViT_t-19", 19, 7, 0);
T2T(t2t_vit_t_24, "T2T-ViT_t-24", 24, 8, 0);
T2T(t2t_vit_14, "T2T-ViT-14, performer", 14, 6, 1);
T2T(t2t_vit_19, "T2T-ViT-19, performer", 19, 7, 1);
T2T(t2t_vit_24, "T2T-ViT-24, performer", 24, 8, 1);
