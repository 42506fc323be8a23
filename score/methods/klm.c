/* KL matching as OpenOOD has it.  Hendrycks et al., ICML 2022, arXiv:1911.11132.
 *   S = -min_k KL(p || q_k), q_k = mean softmax of the ID validation rows predicted as k, or one-hot at k
 * p and q sum to 1 in f64 (scipy's entropy normalises both). */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/kl.h"
#include "score/stats/rows.h"

#include <stdlib.h>

typedef struct collect {
    class_sums sums;
    int32_t of[TRAIN_ROWS];
} collect;

/* By the class that softmax predicts: its rounding can tie classes that the logits tell apart. */
static int add(void *arg, const score_block *b)
{
    collect *a = arg;
    for (size_t i = 0; i < b->n; i++) {
        const float *p = b->p + i * b->c;
        int32_t k = 0;
        for (size_t j = 1; j < b->c; j++)
            if (p[j] > p[k]) k = (int32_t)j;
        a->of[i] = k;
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
    TRY(mem_new(&t, 1, sizeof *t, "templates"));
    *state = t;
    TRY(mem_new(&a, 1, sizeof *a, "templates"));
    TRY(class_sums_new(&a->sums, f->c, f->c, f->mem));
    TRY(fit_each_block(f, f->o->val_id, add, a));
    TRY(kl_fit(t, f, &a->sums, KL_ONE_HOT | KL_NORMALISE, &absent));
    if (absent > 0)
        log_info("klm: %zu of %zu classes are never predicted on the validation set: one-hot templates",
                 absent, f->c);
done:
    if (a != NULL) class_sums_clear(&a->sums, f->mem);
    free(a);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)p;
    return kl_score(state, b, KL_NORMALISE, out);
}

static void release(void **state)
{
    if (*state != NULL) kl_clear(*state);
    free(*state);
    *state = NULL;
}

const method method_klm = {
    .name = "klm",
    .title = "KLM",
    .formula = "-min_k KL(p || q_k), q_k = mean softmax of the ID validation rows predicted as k",
    .paper = "Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, ICML 2022, "
             "arXiv:1911.11132",
    .quirks = "OpenOOD's: templates from validation (kl-matching: train), one-hot where no row is predicted, "
              "both sides normalised in f64; minus infinity when every template excludes the row",
    .groups = "seeds openood",
    .needs = NEEDS_LOGITS | NEEDS_VAL,
    .fit = fit,
    .score = score,
    .free = release,
};
