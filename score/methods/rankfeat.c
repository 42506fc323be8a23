/* RankFeat.  Song, Sebe and Wang, NeurIPS 2022, arXiv:2209.08590.
 *   z4, z3: logits after the last block's, or an earlier block's, map lost its largest singular component
 *   S = T log sum_c exp(z_c / T), z = (z4 + z3) / 2, z4 or z3; MSP for Swin
 * With `clip` the vectors behind the removal are clipped from above and meet the head again (ReAct). */
#include "common/err.h"
#include "score/stats/budget.h"
#include "score/stats/shaped.h"
#include "score/stats/tables.h"
#include "score/stats/tempered.h"

#include <string.h>

/* 1: last, 2: earlier, 3: both.  auto: what the set has. */
static int blocks(const method_params *p, const source *s)
{
    const char *word = param_text(p, "blocks");
    if (strcmp(word, "fused") == 0) return 3;
    if (strcmp(word, "last") == 0) return 1;
    if (strcmp(word, "earlier") == 0) return 2;
    return table_at(s, "rankfeat/earlier/logits") != NULL ? 3 : 1;
}

static int clips(const method_params *p)
{
    return strcmp(param_text(p, "clip"), "none") != 0;
}

static unsigned waives(const method_params *p)
{
    return clips(p) ? 0 : NEEDS_HEAD;
}

static const char *table_of(const method_params *p, int block)
{
    if (clips(p)) return block == 1 ? "rankfeat/last/features" : "rankfeat/earlier/features";
    return block == 1 ? "rankfeat/last/logits" : "rankfeat/earlier/logits";
}

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    int which = blocks(p, id);
    (void)role;
    if ((which & 1) && table_lacks(s, table_of(p, 1), "rankfeat", why, room)) return 1;
    return (which & 2) && table_lacks(s, table_of(p, 2), "rankfeat", why, room);
}

static void clip_row(const void *arg, const score_block *b, size_t i, float *h)
{
    float clip = *(const float *)arg;
    for (size_t j = 0; j < b->d; j++)
        h[j] = b->h[i * b->d + j] > clip ? clip : b->h[i * b->d + j];
}

/* z [n,c] of one block, valid until the next. */
static int logits_of(const method_params *p, const score_block *b, int block, const float **z)
{
    int rc = 0;
    float clip, *changed;
    score_block behind = *b;
    if (!clips(p)) return block_table(b, 0, table_of(p, block), b->c, z);
    clip = (float)param_double(p, "clip");
    behind.d = b->cache->f->o->head->d;
    TRY(block_table(b, 0, table_of(p, block), behind.d, &behind.h));
    TRY(shaped_logits(&behind, &(shaping){ .shape = clip_row, .arg = &clip }, &changed));
    *z = changed;
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0, which = blocks(p, b->cache->f->o->id);
    double t = param_double(p, "temperature"), top;
    budget *mem = b->cache->f->mem;
    score_block changed = *b;
    const float *z;
    float *fused = NULL;
    (void)state;
    TRY(logits_of(p, b, which == 2 ? 2 : 1, &changed.z));
    if (which == 3) {
        TRY(budget_new(mem, &fused, b->n * b->c, sizeof *fused, "fused logits"));
        memcpy(fused, changed.z, b->n * b->c * sizeof *fused);
        TRY(logits_of(p, b, 2, &z));
        for (size_t i = 0; i < b->n * b->c; i++)
            fused[i] = (fused[i] + z[i]) / 2;
        changed.z = fused;
    }
    if (strcmp(param_text(p, "score"), "msp") == 0) tempered_msp(&changed, t, out);
    else
        for (size_t i = 0; i < b->n; i++)
            out[i] = (float)(t * tempered_lse(changed.z + i * b->c, b->c, 1 / t, &top));
done:
    budget_free(mem, &fused);
    return rc;
}

const method method_rankfeat = {
    .name = "rankfeat",
    .title = "RankFeat",
    .formula = "logsumexp((z4 + z3) / 2), z4, z3 behind the last and an earlier block without its rank-1 part",
    .paper = "Song, Sebe and Wang, RankFeat: Rank-1 Feature Removal for Out-of-distribution Detection, NeurIPS "
             "2022, arXiv:2209.08590",
    .quirks = "Swin's published row is MSP; networks with one place only (T2T-ViT, ViT, Swin) have z4 alone",
    .groups = "openood seeds",
    .needs = NEEDS_LOGITS | NEEDS_HEAD,
    .waives = waives,
    .opts = (const method_opt[]){{"blocks", "auto", "fused, last (block 4), earlier (block 3); auto: fused where "
                                  "both are stored", 0, 0, "auto|fused|last|earlier", 0},
                                 {"score", "energy", "energy or msp", 0, 0, "energy|msp", 0},
                                 {"temperature", "1", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {"clip", "none", "ReAct on the vectors behind the removal: their largest value",
                                  -1e30, 1e30, "none", 0},
                                 {0}},
    .probe = "rankfeat",
    .lacks = lacks,
    .score = score,
};
