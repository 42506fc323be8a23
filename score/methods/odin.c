/* ODIN.  Liang, Li and Srikant, ICLR 2018, arXiv:1706.02690; and i-ODIN of OpenOOD, which moves one element.
 *   S = max_c softmax(z(x') / T)_c, x' = x - eps sign of the gradient of the cross entropy at T
 * eps = 0 needs logits alone, and is what MOS, GradNorm, RankFeat and NAC run as "ODIN".  Else z(x') is a table of
 * the probe of the same name, for this T and eps. */
#include "common/err.h"
#include "score/stats/tables.h"
#include "score/stats/tempered.h"

#include <stdio.h>

static void table_name(const method_params *p, const char *probe, char name[TABLE_NAME])
{
    char t[32], e[32];
    snprintf(name, TABLE_NAME, "%s/T=%s,eps=%s/logits", probe, table_number(param_double(p, "temperature"), t),
             table_number(param_double(p, "eps"), e));
}

static int lacks(const method_params *p, const source *s, const char *probe, char *why, size_t room)
{
    char name[TABLE_NAME], how[100], t[32], e[32];
    if (param_double(p, "eps") == 0) return TABLES_UNREAD;
    table_name(p, probe, name);
    snprintf(how, sizeof how, "%s:T=%s,eps=%s", probe, table_number(param_double(p, "temperature"), t),
             table_number(param_double(p, "eps"), e));
    return table_lacks(s, name, how, why, room);
}

static int score(const method_params *p, const char *probe, const score_block *b, float *out)
{
    int rc = 0;
    score_block moved = *b;
    char name[TABLE_NAME];
    if (param_double(p, "eps") > 0) {
        table_name(p, probe, name);
        TRY(block_table(b, 0, name, b->c, &moved.z));
    }
    tempered_msp(&moved, param_double(p, "temperature"), out);
done:
    return rc;
}

static int odin_lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    (void)role;
    (void)id;
    return lacks(p, s, "odin", why, room);
}

static int iodin_lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    (void)role;
    (void)id;
    return lacks(p, s, "iodin", why, room);
}

static int odin_score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    return score(p, "odin", b, out);
}

static int iodin_score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)state;
    return score(p, "iodin", b, out);
}

const method method_odin = {
    .name = "odin",
    .title = "ODIN",
    .formula = "max_c softmax(z(x') / T)_c, x' = x - eps sign(gradient); eps = 0: of z itself",
    .paper = "Liang, Li and Srikant, Enhancing The Reliability of Out-of-distribution Image "
             "Detection in Neural Networks, ICLR 2018, arXiv:1706.02690",
    .quirks = "the default eps = 0 is what MOS, GradNorm and RankFeat publish; their f32 scores tie where logits "
              "differ by less than 1e-4; OpenOOD perturbs by 0.0014 (extract with --probe odin:std=imagenet, or "
              "the std of the data set), HIMPLoS by 0.004",
    .groups = "mos openood seeds",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"temperature", "1000", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {"eps", "0", "step of the probe, 0: none", 0, 10, NULL, 0},
                                 {0}},
    .probe = "odin",
    .lacks = odin_lacks,
    .score = odin_score,
};

const method method_iodin = {
    .name = "iodin",
    .title = "i-ODIN",
    .formula = "max_c softmax(z(x') / T)_c, x' = x but for the one element of largest gradient",
    .paper = "OpenOOD 1.5, postprocessor iodin",
    .groups = "openood",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"temperature", "1000", "softmax temperature T", 1e-6, 1e9, NULL, 0},
                                 {"eps", "0.0014", "step of the probe", 1e-9, 10, NULL, 0},
                                 {0}},
    .probe = "iodin",
    .lacks = iodin_lacks,
    .score = iodin_score,
};
