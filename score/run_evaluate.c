/* From scores to metrics, intervals and accuracy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "score/run.h"

static int copy_text(char **out, const char *text)
{
    free(*out);
    *out = NULL;
    return mem_strdup(out, text);
}

/* The ID scores, with those of the csID sets behind them in a full spectrum. */
static int id_scores(score_set *id, const method_use *u, const run_inputs *in, int full)
{
    int rc = 0;
    size_t n = in->id->n, at = in->id->n;
    float *all = NULL;
    if (!full) return score_set_init(id, u->scores[0], n, "on the ID set");
    for (size_t i = 0; i < in->csid.n; i++)
        n += in->csid.v[i].s->n;
    TRY(mem_new(&all, n, sizeof *all, "scores"));
    memcpy(all, u->scores[0], in->id->n * sizeof *all);
    for (size_t i = 0; i < in->csid.n; i++) {
        memcpy(all + at, u->scores[1 + in->ood.n + i], in->csid.v[i].s->n * sizeof *all);
        at += in->csid.v[i].s->n;
    }
    TRY(score_set_init(id, all, n, "on the ID and csID sets"));
done:
    free(all);
    return rc;
}

/* Intervals of the mean AUROC over all, the near and the far sets. */
static int mean_intervals(const results *r, result_method *m, const score_set *id,
                          const score_set *ood)
{
    int rc = 0;
    score_set *group = NULL;
    TRY(mem_new(&group, r->n_ood, sizeof *group, "metrics"));
    for (size_t g = 0; g < RESULT_MEANS; g++) {
        size_t n = 0;
        double variance;
        for (size_t s = 0; s < r->n_ood; s++)
            if (g == 0 ||
                (r->ood[s].group != NULL && strcmp(r->ood[s].group, result_groups[g]) == 0))
                group[n++] = ood[s];
        if (n == 0) continue;
        TRY(auroc_variance_of_mean(&variance, id, group, n));
        m->mean_ci[g] =
            auroc_interval(results_mean(r, m, metric_fields, result_groups[g]), variance);
    }
done:
    free(group);
    return rc;
}

/* ERR_INPUT when scores are not finite, with the set. */
static int evaluate(const results *r, result_method *m, const method_use *u, const run_inputs *in,
                    int full)
{
    int rc = 0;
    char what[300];
    score_set id = {0}, *ood = NULL;
    TRY(mem_new(&ood, r->n_ood, sizeof *ood, "metrics"));
    TRY(id_scores(&id, u, in, full));
    for (size_t s = 0; s < r->n_ood; s++) {
        interval *ci = m->ci + s * METRIC_COUNT;
        snprintf(what, sizeof what, "on %s", in->ood.v[s].name);
        TRY(score_set_init(&ood[s], u->scores[1 + s], in->ood.v[s].s->n, what));
        TRY(metrics_compute(&m->m[s], &id, &ood[s]));
        if (r->bootstrap > 0) TRY(metrics_bootstrap(ci, &id, &ood[s], r->bootstrap, r->seed));
        ci[0] = auroc_interval(m->m[s].auroc, auroc_variance(&id, &ood[s]));
    }
    TRY(mean_intervals(r, m, &id, ood));
done:
    score_set_clear(&id);
    for (size_t s = 0; ood != NULL && s < r->n_ood; s++)
        score_set_clear(&ood[s]);
    free(ood);
    return rc;
}

int run_label(char **label, const method_use *uses, size_t n_uses, size_t i)
{
    const method_params *p = &uses[i].params;
    size_t same = 0, room = strlen(uses[i].m->name) + 1, at;
    int rc = 0;
    for (size_t k = 0; k < n_uses; k++)
        same += uses[k].m == uses[i].m;
    for (size_t k = 0; p->opts != NULL && p->opts[k].name != NULL; k++)
        if (p->value[k] != NULL) room += strlen(p->opts[k].name) + strlen(p->value[k]) + 2;
    TRY(mem_new(label, room, 1, "name of a method"));
    at = (size_t)snprintf(*label, room, "%s", uses[i].m->name);
    for (size_t k = 0; same > 1 && p->opts != NULL && p->opts[k].name != NULL; k++)
        if (p->value[k] != NULL && strcmp(p->value[k], p->opts[k].def) != 0)
            at += (size_t)snprintf(*label + at, room - at, ":%s=%s", p->opts[k].name, p->value[k]);
done:
    return rc;
}

static void count_right(results *r, const source *s, const int64_t *predicted)
{
    r->n_id += s->n;
    for (size_t k = 0; s->labels != NULL && k < s->n; k++) {
        if (s->labels[k] < 0 || predicted[k] < 0) continue;
        r->counted++;
        r->correct += predicted[k] == s->labels[k];
    }
}

/* Right predictions of the ID set, and in a full spectrum of the csID sets. */
static void accuracy(results *r, const engine_result *er, const run_inputs *in, int full)
{
    const int64_t *predicted = er->predictions;
    r->n_id = r->correct = r->counted = 0;
    count_right(r, in->id, predicted);
    predicted += in->id->n;
    for (size_t i = 0; i < in->ood.n; i++)
        predicted += in->ood.v[i].s->n;
    for (size_t i = 0; full && i < in->csid.n; i++) {
        count_right(r, in->csid.v[i].s, predicted);
        predicted += in->csid.v[i].s->n;
    }
}

int run_evaluate(results *r, size_t *failed, const method_use *uses, size_t n_uses,
                 const engine_result *er, const run_inputs *in, const run_config *c, int full)
{
    int rc = 0;
    *failed = 0;
    TRY(results_init(r, n_uses, in->ood.n));
    r->model = *in->model != '\0' ? in->model : NULL;
    r->benchmark = in->bench != NULL ? in->bench->name : NULL;
    r->ood = in->set;
    r->input = in->input;
    r->n_inputs = in->n_input;
    r->bootstrap = (size_t)c->bootstrap;
    r->seed = (uint64_t)c->seed;
    accuracy(r, er, in, full);
    for (size_t i = 0; i < n_uses; i++) {
        result_method *m = &r->method[i];
        m->name = uses[i].m->name;
        m->title = uses[i].m->title;
        m->params = &uses[i].params;
        m->fit_seconds = uses[i].fit_seconds;
        m->score_seconds = uses[i].score_seconds;
        m->peak_bytes = uses[i].peak_bytes;
        TRY(run_label(&m->label, uses, n_uses, i));
        if (uses[i].skipped != NULL) {
            TRY(copy_text(&m->skipped, uses[i].skipped));
            continue;
        }
        rc = evaluate(r, m, &uses[i], in, full);
        if (rc == ERR_INPUT) {
            TRY(copy_text(&m->skipped, err_text()));
            err_clear();
            ++*failed;
        } else {
            TRY(rc);
        }
    }
    rc = 0;
done:
    return rc;
}
