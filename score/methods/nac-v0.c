/* NAC-v0, the withdrawn first version (June 2023) of NAC: a negative control.
 *   S = mean over neurons of min(n_ij / O, 1), j the bin of sigmoid(alpha h_i (W' (p - 1/C))_i), M equal boundaries
 * Published over the ID test images themselves, whose own states then fill their bins: FPR95 near 0 says nothing.
 * build=train is the same over the train images. */
#include "common/err.h"
#include "common/log.h"
#include "score/stats/coverage.h"

#include <string.h>

static int builds_on_test(const method_params *p)
{
    return strcmp(param_text(p, "build"), "test") == 0;
}

static unsigned waives(const method_params *p)
{
    return builds_on_test(p) ? NEEDS_TRAIN : 0;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    const build_rows *rows = NULL;
    const coverage *k;
    if (builds_on_test(p)) log_warn("nac-v0: coverage is built on the ID test rows, as published: a negative control");
    else TRY(coverage_choose(f, "all", 0, 0, &rows));
    TRY(coverage_build(f, "features", COVERAGE_V0, (size_t)param_int(p, "m"), param_double(p, "alpha"), rows, &k));
    *state = (void *)(uintptr_t)k;
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    double *mean = NULL;
    budget *mem = b->cache->f->mem;
    TRY(budget_new(mem, &mean, b->n, sizeof *mean, "scores of a layer"));
    TRY(coverage_of_block(b, state, param_double(p, "o"), mean));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)mean[i];
done:
    budget_free(mem, &mean);
    return rc;
}

static void release(void **state)
{
    *state = NULL; /* the fit's */
}

const method method_nac_v0 = {
    .name = "nac-v0",
    .title = "NAC-v0",
    .formula = "mean over neurons of min(n_ij / O, 1), j the bin of sigmoid(alpha h g), built on the ID test rows",
    .paper = "Liu, Tian, Li, Ma and Wang, first version of arXiv:2306.02879, June 2023, withdrawn",
    .quirks = "a negative control: published coverage is built on the ID test images that are scored; ResNet-50 and "
              "BiT M 10000, O 5; MobileNet-v2 M 30000, O 1",
    .groups = "nac-v0",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN,
    .waives = waives,
    .opts = (const method_opt[]){{"m", "10000", "boundaries", 2, COVERAGE_BINS_MAX, NULL, METHOD_WHOLE},
                                 {"o", "5", "images that fill a bin", 1e-9, 1e9, NULL, 0},
                                 {"alpha", "1000", "slope of the sigmoid", 1e-9, 1e9, NULL, 0},
                                 {"build", "test", "test: the ID test rows, as published; train", 0, 0, "test|train",
                                  0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
