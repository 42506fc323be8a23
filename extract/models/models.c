/* The networks: one line each. */
#include "extract/model.h"
#include "common/err.h"

#include <string.h>

#define MODELS(X)                                                                                  \
    X(resnet18) X(resnet34) X(resnet50) X(resnet101) X(resnet152)                                  \
    X(resnet26d) X(resnet34d) X(resnet50d) X(resnet101d)                                           \
    X(bit_s_r101x1)                                                                                \
    X(repvgg_a0) X(repvgg_a1) X(repvgg_a2) X(repvgg_b0) X(repvgg_b1) X(repvgg_b2) X(repvgg_b3)     \
    X(densenet121) X(densenet161) X(densenet169) X(densenet201)                                    \
    X(regnet_y_400mf) X(regnet_y_800mf) X(regnet_y_1_6gf) X(regnet_y_3_2gf) X(regnet_y_8gf)        \
    X(regnet_y_16gf) X(regnet_y_32gf)                                                              \
    X(efficientnet_b0)                                                                             \
    X(squeezenet1_0) X(squeezenet1_1)                                                              \
    X(mobilenet_v2)                                                                                \
    X(vit_tiny_patch16_224) X(vit_small_patch16_224)                                               \
    X(vit_base_patch16_224) X(vit_base_patch16_384)                                                \
    X(deit_tiny_patch16_224) X(deit_small_patch16_224) X(deit_base_patch16_224)                    \
    X(vit_b_16)                                                                                    \
    X(swin_tiny_patch4_window7_224) X(swin_small_patch4_window7_224)                               \
    X(swin_base_patch4_window7_224)                                                                \
    X(swin_t) X(swin_s) X(swin_b)                                                                  \
    X(t2t_vit_t_14) X(t2t_vit_t_19) X(t2t_vit_t_24)                                                \
    X(t2t_vit_14) X(t2t_vit_19) X(t2t_vit_24)                                                      \
    X(convnext_tiny) X(convnext_base)                                                              \
    X(densenet_bc_100_12) X(wrn_40_2) X(wrn_28_10)                                                 \
    X(resnet18_32x32)                                                                              \
    X(resnet20) X(resnet32) X(resnet44) X(resnet56)                                                \
    X(demo)

#define X(name) extern const model model_##name;
MODELS(X)
#undef X

const model *const models[] = {
#define X(name) &model_##name,
    MODELS(X)
#undef X
    NULL
};

const model *model_find(const char *name)
{
    for (const model *const *m = models; *m != NULL; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

int model_build_as(graph **out, const model *m, int classes, int side, int variant)
{
    graph *g = NULL;
    int rc = 0;
    model seen = *m;
    seen.prep.side = side;
    seen.variant = variant;
    TRY(graph_new(&g));
    m->build(g, &seen, classes);
    TRY(graph_check(g));
    *out = g;
    g = NULL;
done:
    graph_free(&g);
    return rc;
}

int model_build(graph **out, const model *m, int classes)
{
    return model_build_as(out, m, classes, m->prep.side, 0);
}
