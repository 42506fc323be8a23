/* RankWeight.  Song, Wang and Sebe, IEEE TPAMI 2024.
 *   S = T log sum_c exp(z_c / T), z the logits of the network whose last weight matrices lost their largest singular
 *   component, with RankFeat's removal behind the last block or without; MSP for Swin
 * The published code changes the weights in place when it scores the ID images, and once more for the OOD images:
 * ID images meet one removal, OOD images two (removals=published).  removals=1 is the sound form. */
#include "common/err.h"
#include "score/stats/tables.h"
#include "score/stats/tempered.h"

#include <stdio.h>
#include <string.h>

static int published(const method_params *p)
{
    return strcmp(param_text(p, "removals"), "published") == 0;
}

static void table_name(const method_params *p, int is_id, char name[TABLE_NAME])
{
    long long removals = published(p) ? (is_id ? 1 : 2) : param_int(p, "removals");
    snprintf(name, TABLE_NAME, "rankweight/removals=%lld%s/logits", removals,
             strcmp(param_text(p, "feature"), "yes") == 0 ? ",rankfeat" : "");
}

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    char name[TABLE_NAME];
    (void)role;
    (void)id;
    table_name(p, 1, name);
    if (table_lacks(s, name, "rankweight", why, room)) return 1;
    table_name(p, 0, name);
    return table_lacks(s, name, "rankweight", why, room);
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    double t = param_double(p, "temperature"), top;
    char name[TABLE_NAME];
    score_block changed = *b;
    (void)state;
    table_name(p, b->set == b->cache->f->o->id, name);
    TRY(block_table(b, 0, name, b->c, &changed.z));
    if (strcmp(param_text(p, "score"), "msp") == 0) tempered_msp(&changed, t, out);
    else
        for (size_t i = 0; i < b->n; i++)
            out[i] = (float)(t * tempered_lse(changed.z + i * b->c, b->c, 1 / t, &top));
done:
    return rc;
}

const method method_rankweight = {
    .name = "rankweight",
    .title = "RankWeight",
    .formula = "logsumexp(z), z of the network whose last matrices lost their rank-1 part",
    .paper = "Song, Wang and Sebe, RankFeat and RankWeight: Rank-1 Feature/Weight Removal for "
             "Out-of-distribution Detection, IEEE TPAMI 2024",
    .quirks = "published numbers score ID images by one removal and OOD images by two, which alone tells the sets "
              "apart: removals=published repeats it (csID sets count as OOD); Swin's rows are MSP",
    .groups = "seeds",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"removals", "1", "components removed; published: 1 for ID images, 2 for OOD", 1,
                                  16, "published", METHOD_WHOLE},
                                 {"feature", "yes", "with RankFeat behind the last block", 0, 0, "yes|no", 0},
                                 {"score", "energy", "energy or msp", 0, 0, "energy|msp", 0},
                                 {"temperature", "1", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {0}},
    .probe = "rankweight",
    .lacks = lacks,
    .score = score,
};
