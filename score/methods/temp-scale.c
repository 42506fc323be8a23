/* Temperature scaling.  Guo et al., ICML 2017, arXiv:1706.04599.
 *   S = max_c softmax(z / T)_c, T the least cross entropy of z / T on labelled ID validation rows
 *   fit=converged   the optimum, by bisection of the derivative in 1/T, where it rises
 *   fit=lbfgs       what OpenOOD (start 1.5) and pytorch-ood (start 1) run: fifty steps of L-BFGS at a rate of
 *                   0.01 without line search, which stop far from the optimum */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/rowmath.h"
#include "score/stats/shared.h"
#include "score/stats/temperature.h"
#include "score/stats/tempered.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct collect {
    float *z;
    int32_t *label;
    size_t n;
} collect;

static unsigned waives(const method_params *p)
{
    const char *t = param_text(p, "temperature");
    return strcmp(t, "fit") == 0 ? 0 : NEEDS_VAL | NEEDS_VAL_LABELS;
}

static int add(void *arg, const score_block *b)
{
    collect *a = arg;
    for (size_t i = 0; i < b->n; i++) {
        int64_t y = b->set->labels[b->row + i];
        if (y < 0 || y >= (int64_t)b->c) continue;
        memcpy(a->z + a->n * b->c, b->z + i * b->c, b->c * sizeof *a->z);
        a->label[a->n++] = (int32_t)y;
    }
    return 0;
}

static int find(fit_context *f, const method_params *p, double *t)
{
    int rc = 0, held = 0;
    const source *val = f->o->val_id;
    collect a = {NULL, NULL, 0};
    TRY(budget_new(f->mem, &a.z, val->n * f->c, sizeof *a.z, "logits of the validation set"));
    TRY(budget_new(f->mem, &a.label, val->n, sizeof *a.label, "labels of the validation set"));
    TRY(fit_each_block(f, val, add, &a));
    if (a.n == 0) {
        rc = fit_refuse(f, "no validation row has a label");
        goto done;
    }
    if (strcmp(param_text(p, "fit"), "lbfgs") == 0)
        *t = temperature_lbfgs(a.z, a.label, a.n, f->c, param_double(p, "start"));
    else *t = temperature_converged(a.z, a.label, a.n, f->c, &held);
    if (held) log_warn("temp-scale: the cross entropy has no optimum, T is held at %g", *t);
    log_info("temp-scale: T = %.6g from %zu validation rows", *t, a.n);
    if (!(fabs(*t) > 0 && fabs(*t) < INFINITY)) rc = fit_refuse(f, "the published optimiser gives T = %g", *t);
done:
    budget_free(f->mem, &a.z);
    budget_free(f->mem, &a.label);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    double *t = NULL;
    int rc = mem_new(&t, 1, sizeof *t, "temperature");
    if (rc < 0) return rc;
    *state = t;
    if (!waives(p)) return find(f, p, t);
    *t = param_double(p, "temperature");
    return 0;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    (void)p;
    tempered_msp(b, *(const double *)state, out);
    return 0;
}

static void release(void **state)
{
    free(*state);
    *state = NULL;
}

const method method_temp_scale = {
    .name = "temp-scale",
    .title = "TempScale",
    .formula = "max_c softmax(z / T)_c, T of least cross entropy on labelled ID validation rows",
    .paper = "Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599",
    .quirks = "OpenOOD's optimiser does not converge: fit=lbfgs repeats it (start=1 for pytorch-ood), and T "
              "may then be negative",
    .groups = "seeds openood",
    .needs = NEEDS_LOGITS | NEEDS_VAL | NEEDS_VAL_LABELS,
    .waives = waives,
    .opts = (const method_opt[]){{"fit", "converged", "converged, or lbfgs: the published one", 0, 0,
                                  "converged|lbfgs", 0},
                                 {"start", "1.5", "where lbfgs starts", 1e-3, 1e3, NULL, 0},
                                 {"temperature", "fit", "T itself instead of a fit", 1e-6, 1e9, "fit", 0},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
