/* Weighted energy, as pytorch-ood scores networks of VOS.  Du et al., ICLR 2022, arXiv:2202.01197.
 *   S = log sum_c max(w_c, 0) exp z_c, w the weights that VOS trains beside the network. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/fit.h"
#include "score/stats/groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    float *log_w; /* [c] */
    size_t c;
} state_type;

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    const char *path = param_text(p, "weights");
    double *w = NULL;
    size_t n = 0, positive = 0;
    if (strcmp(path, "none") == 0)
        return fit_refuse(f, "needs the weights that VOS trained (--set weighted-energy.weights=FILE)");
    TRY(mem_new(&s, 1, sizeof *s, "weights"));
    *state = s;
    TRY(numbers_read(&w, &n, path));
    if (n != f->c) {
        rc = fit_refuse(f, "%s has %zu weights, there are %zu classes", path, n, f->c);
        goto done;
    }
    TRY(mem_new(&s->log_w, n, sizeof *s->log_w, "weights"));
    s->c = n;
    for (size_t k = 0; k < n; k++) {
        s->log_w[k] = w[k] > 0 ? (float)log(w[k]) : -1e30f;
        positive += w[k] > 0;
    }
    if (positive == 0) rc = fit_refuse(f, "%s: no weight is positive", path);
done:
    free(w);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    const state_type *s = state;
    (void)p;
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        const float *z = b->z + i * b->c;
        double max = -INFINITY, sum = 0;
        for (size_t k = 0; k < b->c; k++)
            max = fmax(max, (double)z[k] + (double)s->log_w[k]);
        for (size_t k = 0; k < b->c; k++)
            sum += exp((double)z[k] + (double)s->log_w[k] - max);
        out[i] = (float)(max + log(sum));
    }
    return 0;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s != NULL) free(s->log_w);
    free(s);
    *state = NULL;
}

const method method_weighted_energy = {
    .name = "weighted-energy",
    .title = "WeightedEBO",
    .formula = "log sum_c max(w_c, 0) exp z_c",
    .paper = "Du et al., VOS: Learning What You Don't Know by Virtual Outlier Synthesis, ICLR 2022, "
             "arXiv:2202.01197",
    .quirks = "pytorch-ood does not subtract the maximum and overflows above 88; here it is subtracted",
    .groups = "pytorch-ood",
    .needs = NEEDS_LOGITS,
    .opts = (const method_opt[]){{"weights", "none", "a file with the weight of each class", 0, 0, NULL,
                                  0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
