/* The declared networks beside what is published of them: parameters, multiply-adds, epsilons of the
 * norms (which golden values at 1e-5 cannot see: models.md 14.4), and what a graph shares or refuses.
 *
 * A new network is one line in `published`.  Parameters and GMAC: models.md section 0, torchvision's
 * weight metadata (_ops), and else PyTorch's count of the original modules (timm 1.0, T2T-ViT). */
#include "common/err.h"
#include "extract/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct published {
    const char *name;
    size_t parameters;
    double gmac;   /* as printed */
    double ln_eps; /* of every layer norm; 0: there is none */
} published[] = {
    { "resnet18", 11689512, 1.8141, 0 },
    { "resnet34", 21797672, 3.6638, 0 },
    { "resnet50", 25557032, 4.0892, 0 },
    { "resnet101", 44549160, 7.8014, 0 },
    { "resnet152", 60192808, 11.5136, 0 },
    { "resnet26d", 16014408, 2.5819, 0 },
    { "resnet34d", 21816904, 3.9034, 0 },
    { "resnet50d", 25576264, 4.3288, 0 },
    { "resnet101d", 44568392, 8.0410, 0 },
    { "bit_s_r101x1", 44541480, 35.815, 0 },
    { "repvgg_a0", 9108968, 1.5126, 0 }, /* in the form of training */
    { "repvgg_a1", 14092264, 2.6265, 0 },
    { "repvgg_a2", 28210600, 5.6853, 0 },
    { "repvgg_b0", 15817960, 3.3972, 0 },
    { "repvgg_b1", 57415016, 13.1281, 0 },
    { "repvgg_b2", 89022376, 20.4182, 0 },
    { "repvgg_b3", 123085288, 29.121, 0 },
    { "densenet121", 7978856, 2.8342, 0 },
    { "densenet161", 28681000, 7.728, 0 },
    { "densenet169", 14149480, 3.360, 0 },
    { "densenet201", 20013928, 4.291, 0 },
    { "regnet_y_400mf", 4344144, 0.4018, 0 },
    { "regnet_y_800mf", 6432512, 0.8339, 0 },
    { "regnet_y_1_6gf", 11202430, 1.6121, 0 },
    { "regnet_y_3_2gf", 19436338, 3.1765, 0 },
    { "regnet_y_8gf", 39381472, 8.473, 0 },
    { "regnet_y_16gf", 83590140, 15.912, 0 },
    { "regnet_y_32gf", 145046770, 32.280, 0 },
    { "efficientnet_b0", 5288548, 0.3858, 0 },
    { "squeezenet1_0", 1248424, 0.8189, 0 },
    { "squeezenet1_1", 1235496, 0.3491, 0 },
    { "mobilenet_v2", 3504872, 0.3008, 0 },
    { "densenet_bc_100_12", 800032, 0.2880, 0 },
    { "wrn_40_2", 2243546, 0.3276, 0 },
    { "wrn_28_10", 36479194, 5.2433, 0 },
    { "resnet18_32x32", 11173962, 0.5554, 0 },
    { "resnet20", 269722, 0.0406, 0 },
    { "resnet32", 464154, 0.0689, 0 },
    { "resnet44", 658586, 0.0972, 0 },
    { "resnet56", 853018, 0.1255, 0 },
    { "vit_tiny_patch16_224", 5717416, 1.2537, 1e-6 },
    { "vit_small_patch16_224", 22050664, 4.5989, 1e-6 },
    { "vit_base_patch16_224", 86567656, 17.564, 1e-6 },
    { "vit_base_patch16_384", 86859496, 55.48, 1e-6 },
    { "deit_tiny_patch16_224", 5717416, 1.2537, 1e-6 },
    { "deit_small_patch16_224", 22050664, 4.5989, 1e-6 },
    { "deit_base_patch16_224", 86567656, 17.564, 1e-6 },
    { "vit_b_16", 86567656, 17.564, 1e-6 },
    { "swin_tiny_patch4_window7_224", 28288354, 4.4906, 1e-5 },
    { "swin_small_patch4_window7_224", 49606258, 8.7409, 1e-5 },
    { "swin_base_patch4_window7_224", 87768224, 15.43, 1e-5 },
    { "swin_t", 28288354, 4.4906, 1e-5 },
    { "swin_s", 49606258, 8.741, 1e-5 },
    { "swin_b", 87768224, 15.4309, 1e-5 },
    { "t2t_vit_t_14", 21541070, 6.0887, 1e-5 },
    { "t2t_vit_t_19", 39172942, 9.7849, 1e-5 },
    { "t2t_vit_t_24", 64101454, 14.967, 1e-5 },
    { "t2t_vit_14", 21545550, 4.7833, 1e-5 },
    { "t2t_vit_19", 39177422, 8.4796, 1e-5 },
    { "t2t_vit_24", 64105934, 13.66, 1e-5 },
    { "convnext_tiny", 28589128, 4.456, 1e-6 },
    { "convnext_base", 88591464, 15.355, 1e-6 },
};

static const double EPS_BATCH = 1e-5, EPS_GROUP = 1e-5;

/* Relative, beside half of the fourth digit behind the point: figures are rounded where they were printed. */
static const double TOLERANCE_GMAC = 2e-4;

enum { PUBLISHED = sizeof published / sizeof *published };

static int test_number, failures;

static void check(int ok, const char *net, const char *what)
{
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s\n", ok ? "ok" : "not ok", test_number, net, what);
}

/* ---- figures ------------------------------------------------------------------------------------ */

/* The expected epsilon of a norm, 0 for other nodes. */
static double eps_of(const struct published *p, const node *v)
{
    if (v->op == OP_batchnorm) return EPS_BATCH;
    if (v->op == OP_groupnorm) return EPS_GROUP;
    return v->op == OP_layernorm ? p->ln_eps : 0;
}

static void test_norms(const struct published *p, const graph *g)
{
    char what[160];
    size_t norms = 0, wrong = 0, layer = 0;
    for (size_t i = 0; i < graph_nodes(g); i++) {
        const node *v = graph_node(g, (int)i);
        double eps = eps_of(p, v);
        if (v->op == OP_layernorm) layer++;
        norms += v->op == OP_batchnorm || v->op == OP_groupnorm || v->op == OP_layernorm;
        wrong += v->eps != (float)eps;
    }
    snprintf(what, sizeof what, "%zu of %zu norms have another epsilon", wrong, norms);
    check(wrong == 0 && (layer > 0) == (p->ln_eps > 0), p->name, what);
}

static void test_figures(const struct published *p)
{
    char what[160];
    const model *m = model_find(p->name);
    graph *g = NULL;
    double off;
    if (m == NULL || model_build(&g, m, m->classes) < 0) {
        check(0, p->name, m == NULL ? "no such network" : err_text());
        return;
    }
    off = fabs(graph_macs(g) * 1e-9 - p->gmac);
    snprintf(what, sizeof what, "%zu parameters of %zu; %.4f GMAC of %g, %.0e of %.0e",
             graph_parameter_count(g), p->parameters, graph_macs(g) * 1e-9, p->gmac, off / p->gmac,
             TOLERANCE_GMAC);
    check(graph_parameter_count(g) == p->parameters && off <= TOLERANCE_GMAC * p->gmac + 5e-5,
          p->name, what);
    test_norms(p, g);
    graph_free(&g);
}

/* The demo's network is our own. */
static void test_complete(void)
{
    for (const model *const *m = models; *m != NULL; m++) {
        size_t i = 0;
        while (i < PUBLISHED && strcmp(published[i].name, (*m)->name) != 0)
            i++;
        if (i == PUBLISHED && strcmp((*m)->name, "demo") != 0)
            check(0, (*m)->name, "has no line in this test");
    }
}

/* ---- graphs ------------------------------------------------------------------------------------- */

static int needs(const graph *g, int from, int to)
{
    const node *v = graph_node(g, from);
    if (from == to) return 1;
    for (int i = 0; i < v->n_in; i++)
        if (v->in[i] >= to && needs(g, v->in[i], to)) return 1;
    return 0;
}

/* Features come from the class token alone, and its norm and layer are those of all tokens. */
static void test_last_layer(const char *name, const char *const *taps)
{
    const model *m = model_find(name);
    graph *g = NULL;
    int ok = m != NULL && model_build(&g, m, m->classes) == 0;
    for (; ok && *taps != NULL; taps++)
        ok = graph_find_tap(g, *taps) >= 0 && !needs(g, graph_logits(g), graph_find_tap(g, *taps));
    check(ok, name, "logits do not need the last layer's other tokens");
    ok = ok && graph_node(g, graph_features(g))->op == OP_layernorm &&
         graph_node(g, graph_features(g))->weight ==
             graph_node(g, graph_find_tap(g, taps[-1]))->weight;
    check(ok, name, "both last norms have the same parameters");
    graph_free(&g);
}

static void test_sharing(void)
{
    graph *g = NULL;
    int x, y, z;
    if (graph_new(&g) < 0) return;
    x = g_input(g, 8, 3, 3);
    y = g_linear(g, x, 4, "fc");
    z = g_linear(g, g_token(g, x, 0), 4, "fc");
    check(graph_params(g) == 2 && graph_node(g, y)->weight == graph_node(g, z)->weight &&
              graph_parameter_count(g) == 36 && graph_macs(g) == 9 * 32,
          "graph", "layers of one name share their parameters and count once");
    g_logits(g, g_linear(g, x, 5, "fc"));
    check(graph_check(g) < 0 && strstr(err_text(), "one name for two shapes at 'fc.weight'") != NULL,
          "graph", "one name for two shapes is refused");
    err_clear();
    graph_free(&g);
}

static void test_size(const char *name, int side, const char *expected)
{
    char what[64];
    const model *m = model_find(name);
    graph *g = NULL;
    int rc = model_build_as(&g, m, m->classes, side, 0);
    snprintf(what, sizeof what, "input of %d is %s", side, expected ? "refused" : "taken");
    check(expected == NULL ? rc == 0 : rc == ERR_USAGE && strstr(err_text(), expected) != NULL, name,
          what);
    if (expected != NULL) printf("# %s\n", err_text());
    err_clear();
    graph_free(&g);
}

int main(void)
{
    for (size_t i = 0; i < PUBLISHED; i++)
        test_figures(&published[i]);
    test_complete();
    test_sharing();
    test_last_layer("vit_tiny_patch16_224", (const char *const[]){ "blocks.11", "norm", NULL });
    test_last_layer("vit_b_16", (const char *const[]){ "encoder.layers.encoder_layer_11.ln_2",
                                                       "encoder.ln", NULL });
    test_last_layer("t2t_vit_14", (const char *const[]){ "blocks.13", "norm", NULL });
    test_size("vit_base_patch16_224", 384, NULL);
    test_size("vit_base_patch16_224", 230, "patches of 16 do not fit 230");
    test_size("swin_tiny_patch4_window7_224", 448, NULL);
    test_size("swin_tiny_patch4_window7_224", 256, "its windows fit multiples of 224");
    test_size("swin_t", 256, NULL);
    test_size("swin_t", 225, NULL);
    printf("1..%d\n", test_number);
    return failures > 0;
}
