/* One pass over validation and test sets for a whole grid, the best point by validation AUROC. */
#include "score/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

/* The sets of the engine: validation ID, validation OOD, then test ID, OOD, csID when they are there. */
typedef struct plan {
    const source **set;  /* [1 + n], the first is the engine's ID set */
    size_t n, val, test; /* behind the first: val sets, then `test` of the test sets */
    size_t rows;         /* of all */
} plan;

static int plan_sets(plan *p, const run_inputs *in)
{
    int rc = 0;
    size_t at = 0;
    const char *name;
    p->val = in->val_ood.n;
    p->test = in->id != NULL ? run_test_sets(in) : 0;
    p->n = p->val + p->test;
    TRY(mem_new(&p->set, 1 + p->n, sizeof *p->set, "sets"));
    p->set[at++] = in->val_id;
    for (size_t i = 0; i < p->val; i++)
        p->set[at++] = in->val[i];
    for (size_t i = 0; i < p->test; i++)
        p->set[at++] = run_test_set(in, i, &name);
    for (size_t i = 0; i < at; i++)
        p->rows += p->set[i]->n;
done:
    return rc;
}

/* Means over the validation sets, and the metrics of each test set; ERR_INPUT when scores are not finite. */
static int measure(sweep_point *p, const method_use *u, const plan *sets, const run_inputs *in)
{
    int rc = 0;
    score_set id = {0}, ood = {0};
    double *sum = NULL;
    metrics m;
    size_t test = 1 + sets->val;
    TRY(mem_new(&sum, METRIC_COUNT, sizeof *sum, "metrics"));
    TRY(score_set_init(&id, u->scores[0], in->val_id->n, "on the validation set"));
    for (size_t i = 0; i < sets->val; i++) {
        score_set_clear(&ood);
        TRY(score_set_init(&ood, u->scores[1 + i], in->val[i]->n, in->val_ood.v[i].name));
        TRY(metrics_compute(&m, &id, &ood));
        for (size_t k = 0; k < METRIC_COUNT; k++)
            sum[k] += metric_value(&m, &metric_fields[k]);
    }
    for (size_t k = 0; k < METRIC_COUNT; k++)
        sum[k] /= (double)sets->val;
    metrics_of_values(&p->val, sum);
    if (sets->test == 0) goto done;
    score_set_clear(&id);
    TRY(score_set_init(&id, u->scores[test], in->id->n, "on the ID set"));
    TRY(mem_new(&p->test, in->ood.n, sizeof *p->test, "metrics"));
    for (size_t i = 0; i < in->ood.n; i++) {
        score_set_clear(&ood);
        TRY(score_set_init(&ood, u->scores[test + 1 + i], in->ood.v[i].s->n, in->ood.v[i].name));
        TRY(metrics_compute(&p->test[i], &id, &ood));
    }
done:
    score_set_clear(&id);
    score_set_clear(&ood);
    free(sum);
    return rc;
}

static int measure_point(sweep_point *p, const method_use *u, const plan *sets,
                         const run_inputs *in)
{
    int rc = 0;
    p->seconds = u->fit_seconds + u->score_seconds;
    if (u->skipped != NULL) {
        TRY(mem_strdup(&p->failed, u->skipped));
        goto done;
    }
    rc = measure(p, u, sets, in);
    if (rc != ERR_INPUT) goto done;
    TRY(mem_strdup(&p->failed, err_text()));
    err_clear();
    rc = 0;
done:
    return rc;
}

/* The points do not wait for each other; the text of an error is the thread's own. */
static int measure_all(sweep *s, size_t first, const method_use *uses, size_t n, const plan *sets)
{
    int failed = 0;
#pragma omp parallel for schedule(dynamic) reduction(min : failed)
    for (size_t i = 0; i < n; i++) {
        int rc = measure_point(&s->point[first + i], &uses[i], sets, s->in);
        if (rc < failed) failed = rc;
    }
    if (failed < 0 && *err_text() == '\0')
        return err_set(failed, "metrics of the grid could not be computed: no memory");
    return failed;
}

/* Keeps the use of the best point so far, with its scores of the test sets. */
static int choose(sweep *s, size_t first, method_use *uses, size_t n, const plan *sets,
                  engine_result *er, engine_result *kept, double *best)
{
    int rc = 0, better = 0;
    for (size_t i = 0; i < n; i++) {
        const sweep_point *p = &s->point[first + i];
        if (p->failed != NULL || !(p->val.auroc > *best))
            continue; /* the first of equal ones stays */
        *best = p->val.auroc;
        s->best = first + i;
        better = 1;
    }
    if (!better || sets->test == 0) goto done;
    engine_free_uses(&s->chosen, 1, sets->test);
    engine_clear_result(kept);
    TRY(mem_new(&s->chosen, 1, sizeof *s->chosen, "chosen setting"));
    {
        method_use *u = &uses[s->best - first];
        size_t skip = sets->set[0]->n;
        *s->chosen = *u;
        s->chosen->scores = NULL;
        memset(u->params.value, 0, sizeof u->params.value); /* handed over */
        TRY(mem_new(&s->chosen->scores, sets->test, sizeof *u->scores, "scores"));
        for (size_t i = 0; i < sets->test; i++) {
            s->chosen->scores[i] = u->scores[1 + sets->val + i];
            u->scores[1 + sets->val + i] = NULL;
        }
        for (size_t i = 0; i < sets->val; i++)
            skip += sets->set[1 + i]->n;
        TRY(mem_new(&kept->predictions, sets->rows - skip, sizeof *kept->predictions,
                    "predictions"));
        memcpy(kept->predictions, er->predictions + skip,
               (sets->rows - skip) * sizeof *kept->predictions);
    }
done:
    return rc;
}

int sweep_run(sweep *s, const char *name, const run_config *c, struct linalg *la,
              engine_result *kept)
{
    int rc = 0;
    plan sets = {0};
    engine_options o = run_engine_options(s->in, c, la);
    engine_result er = {0};
    method_use *uses = NULL;
    size_t n = 0, most;
    double best = -1;
    TRY(plan_sets(&sets, s->in));
    TRY(mem_new(&s->point, s->g.points, sizeof *s->point, "grid"));
    o.id = sets.set[0];
    o.ood = sets.set + 1;
    o.n_ood = sets.n;
    /* scores of as many points as fit into the memory once more */
    most = c->memory / (sets.rows * sizeof(float));
    most = most < 1 ? 1 : most > s->g.points ? s->g.points : most;
    if (most < s->g.points) log_info("%zu points in rounds of %zu, by --memory", s->g.points, most);
    for (size_t first = 0; first < s->g.points; first += n) {
        n = s->g.points - first < most ? s->g.points - first : most;
        TRY(grid_uses(&s->g, name, first, n, c->sets.v, c->sets.n, &uses));
        TRY(engine_run(&o, uses, n, &er));
        TRY(measure_all(s, first, uses, n, &sets));
        TRY(choose(s, first, uses, n, &sets, &er, kept, &best));
        engine_clear_result(&er);
        engine_free_uses(&uses, n, 1 + sets.n);
    }
    for (size_t p = 0; p < s->g.points; p++)
        s->n_failed += s->point[p].failed != NULL;
    CHECK(s->n_failed < s->g.points, ERR_USAGE, "nothing could be run: %s: %s", name,
          s->point[0].failed);
done:
    engine_clear_result(&er);
    engine_free_uses(&uses, n, 1 + sets.n);
    free(sets.set);
    return rc;
}

void sweep_clear(sweep *s)
{
    for (size_t p = 0; s->point != NULL && p < s->g.points; p++) {
        free(s->point[p].test);
        free(s->point[p].failed);
    }
    free(s->point);
    engine_free_uses(&s->chosen, 1, s->in != NULL && s->in->id != NULL ? run_test_sets(s->in) : 0);
    grid_clear(&s->g);
    memset(s, 0, sizeof *s);
}
