/* KL matching as the MOS repository has it (KL_Div).  Hendrycks et al., ICML 2022, arXiv:1911.11132.
 *   S = -min_k KL(p || q_k), q_k = mean softmax of the ID *test* rows whose true label is k
 * The templates see the labels of the very images that are scored: kept for that table, nothing else. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/kl.h"
#include "score/stats/rows.h"

#include <stdlib.h>

typedef struct collect {
    class_sums sums;
    int32_t of[TRAIN_ROWS];
    size_t known;
} collect;

static int add(void *arg, const score_block *b)
{
    collect *a = arg;
    for (size_t i = 0; i < b->n; i++) {
        int64_t y = b->set->labels[b->row + i];
        a->of[i] = y >= 0 && y < (int64_t)b->c ? (int32_t)y : -1;
        a->known += a->of[i] >= 0;
    }
    class_sums_add(&a->sums, b->p, a->of, b->n);
    return 0;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    kl_templates *t = NULL;
    collect *a = NULL;
    size_t absent;
    (void)p;
    if (f->o->id->labels == NULL)
        return fit_refuse(f, "needs the true labels of the ID test set (--id-labels)");
    TRY(mem_new(&t, 1, sizeof *t, "templates"));
    *state = t;
    TRY(mem_new(&a, 1, sizeof *a, "templates"));
    TRY(class_sums_new(&a->sums, f->c, f->c, f->mem));
    TRY(fit_each_block(f, f->o->id, add, a));
    if (a->known == 0) {
        rc = fit_refuse(f, "no row of the ID test set has a label");
        goto done;
    }
    TRY(kl_fit(t, f, &a->sums, 0, &absent));
    if (absent > 0)
        log_info("kl-matching-mos: %zu of %zu classes have no ID test row and are left out", absent, f->c);
done:
    if (a != NULL) class_sums_clear(&a->sums, f->mem);
    free(a);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)p;
    return kl_score(state, b, 0, out);
}

static void release(void **state)
{
    if (*state != NULL) kl_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_kl_matching_mos = {
    .name = "kl-matching-mos",
    .title = "KL-Matching (MOS)",
    .formula = "-min_k KL(p || q_k), q_k = mean softmax of the ID test rows of true label k",
    .paper = "Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, ICML 2022, "
             "arXiv:1911.11132",
    .quirks = "leaks the labels of the ID test set, as the MOS repository does for its table; kl-matching and "
              "klm do not",
    .groups = "mos seeds",
    .needs = NEEDS_LOGITS,
    .fit = fit,
    .score = score,
    .free = release,
};
