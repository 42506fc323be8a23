/* ReAct with the thresholds of the other repositories.  Sun, Guo and Li, NeurIPS 2021, arXiv:2111.12797.
 *   S = logsumexp(W min(h, c) + b)
 * energy-react is the row of ViM and GEN: c from the train features.  Here c comes from the ID validation
 * features (OpenOOD) or is a constant that was published:
 *   react          1.0    ReAct's ResNet-50 and MobileNet-v2, and NAC-v0's
 *   himplos        0.8    HIMPLoS's default
 *   nac-bit        2.0    NAC-v0, BiT
 *   rankfeat-bit   1.25   RankFeat; rankfeat-t2t the same, on LayerNorm'd tokens
 *   rankfeat-vit   0.483  rankfeat-swin 0.393 */
#include "common/mem.h"
#include "score/methods/react.h"

#include <string.h>

static const struct {
    const char *name;
    double clip;
} published[] = {
    {"react", 1.0},         {"himplos", 0.8},      {"nac-bit", 2.0},        {"rankfeat-bit", 1.25},
    {"rankfeat-t2t", 1.25}, {"rankfeat-vit", 0.483}, {"rankfeat-swin", 0.393},
};

static unsigned waives(const method_params *p)
{
    const char *clip = param_text(p, "clip");
    if (strcmp(clip, "val") == 0) return NEEDS_TRAIN;
    return strcmp(clip, "train") == 0 ? NEEDS_VAL : NEEDS_TRAIN | NEEDS_VAL;
}

static int plan(fit_context *f, const method_params *p)
{
    const char *clip = param_text(p, "clip");
    double q = param_double(p, "percentile") / 100;
    if (strcmp(clip, "val") == 0) return fit_want_quantile(f, QUANTILE_OF_VAL, q);
    return strcmp(clip, "train") == 0 ? fit_want_quantile(f, QUANTILE_OF_TRAIN, q) : 0;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = react_fit_later(f, p, state);
    react_state *s = *state;
    const char *clip = param_text(p, "clip");
    double q = param_double(p, "percentile") / 100;
    if (rc < 0) return rc;
    if (strcmp(clip, "val") == 0) return fit_quantile(f, f->o->val_id, q, &s->clip);
    if (strcmp(clip, "train") == 0) return fit_quantile(f, f->o->train, q, &s->clip);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (strcmp(clip, published[i].name) == 0) {
            s->clip = published[i].clip;
            return 0;
        }
    s->clip = param_double(p, "clip");
    return 0;
}

const method method_react = {
    .name = "react",
    .title = "ReAct",
    .formula = "logsumexp(W min(h, c) + b), c = percentile of all ID validation features",
    .paper = "Sun, Guo and Li, ReAct: Out-of-distribution Detection With Rectified Activations, "
             "NeurIPS 2021, arXiv:2111.12797",
    .quirks = "only the upper side is clipped, also where features are signed; energy-react is the row of "
              "ViM and GEN (0.99 quantile of train)",
    .groups = "seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN | NEEDS_VAL,
    .stats = STAT_QUANTILE,
    .waives = waives,
    .opts = (const method_opt[]){{"clip", "val",
                                  "val or train: percentile of those features; a number; or a constant "
                                  "of react, himplos, nac-bit, rankfeat-bit, -t2t, -vit, -swin",
                                  -1e30, 1e30,
                                  "val|train|react|himplos|nac-bit|rankfeat-bit|rankfeat-t2t|"
                                  "rankfeat-vit|rankfeat-swin",
                                  0},
                                 {"percentile", "90", "which percentile", 0, 100, NULL, 0},
                                 {0}},
    .plan = plan,
    .fit = fit,
    .score = react_energy,
    .score_many = react_energy_many,
    .free = react_free,
};
