#include "score/run.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

/* ---- opening ---------------------------------------------------------------------------------- */

static int open_source(source **out, const char *name, const char *path)
{
    int rc = 0;
    char shape[64] = "";
    size_t bad;
    TRY(source_open(out, name, path));
    if ((*out)->d > 0) snprintf(shape, sizeof shape, ", %zu features", (*out)->d);
    log_info("%s: %s: %zu rows%s%s", name, path, (*out)->n, shape,
             (*out)->labels != NULL ? ", labels" : "");
    bad = source_rows_of_file(*out) - (*out)->n;
    if (bad > 0)
        log_warn("%s: %zu of %zu rows are flagged bad and left out", path, bad,
                 source_rows_of_file(*out));
done:
    return rc;
}

static int open_sets(run_sets *l)
{
    int rc = 0;
    for (size_t i = 0; i < l->n; i++)
        TRY(open_source(&l->v[i].s, l->v[i].name, l->v[i].path));
done:
    return rc;
}

static int use_labels(source *s, const char *file, const char *what, char sha256[65], int force)
{
    int rc = 0;
    if (file == NULL) goto done;
    CHECK(s != NULL, ERR_USAGE, "%s", what);
    TRY(source_use_labels(s, file, force));
    TRY(digest_of_file(file, sha256));
done:
    return rc;
}

static int open_sources(run_inputs *in, const run_config *c)
{
    int rc = 0;
    TRY(run_name_inputs(in, c));
    if (in->train_path != NULL) TRY(open_source(&in->train, "train", in->train_path));
    if (in->id_path != NULL) TRY(open_source(&in->id, "id", in->id_path));
    TRY(open_sets(&in->ood));
    TRY(open_sets(&in->csid));
    if (in->val_id_path != NULL) TRY(open_source(&in->val_id, "val-id", in->val_id_path));
    TRY(open_sets(&in->val_ood));
    TRY(use_labels(in->train, c->labels, "--labels are those of --train; --id-labels of --id",
                   in->labels_sha256, c->force));
    TRY(use_labels(in->id, c->id_labels, "--id-labels are those of --id", in->id_labels_sha256,
                   c->force));
    TRY(use_labels(in->val_id, c->val_labels, "--val-labels are those of --val-id",
                   in->val_labels_sha256, c->force));
    TRY(mem_new(&in->set, in->ood.n, sizeof *in->set, "sets"));
    TRY(mem_new(&in->test, in->ood.n + in->csid.n, sizeof *in->test, "sets"));
    TRY(mem_new(&in->val, in->val_ood.n, sizeof *in->val, "sets"));
    TRY(mem_new(&in->csid_name, in->csid.n, sizeof *in->csid_name, "sets"));
    for (size_t i = 0; i < in->ood.n; i++) {
        const run_set *s = &in->ood.v[i];
        in->set[i] = (result_set){ s->name, s->group, s->s->n };
        in->test[i] = s->s;
    }
    for (size_t i = 0; i < in->csid.n; i++) {
        in->test[in->ood.n + i] = in->csid.v[i].s;
        in->csid_name[i] = in->csid.v[i].name;
    }
    for (size_t i = 0; i < in->val_ood.n; i++)
        in->val[i] = in->val_ood.v[i].s;
done:
    return rc;
}

/* The i-th of all sources: train, id, val-id, the OOD, csID and OOD validation sets; NULL when there is none. */
static const source *nth(const run_inputs *in, size_t i)
{
    if (i < 3) return i == 0 ? in->train : i == 1 ? in->id : in->val_id;
    i -= 3;
    if (i < in->ood.n + in->csid.n) return in->test[i];
    i -= in->ood.n + in->csid.n;
    return i < in->val_ood.n ? in->val[i] : NULL;
}

static size_t all_sources(const run_inputs *in)
{
    return 3 + in->ood.n + in->csid.n + in->val_ood.n;
}

/* --head, else the head beside the features; all heads found there must be one. */
static int open_head(run_inputs *in, const run_config *c)
{
    int rc = 0;
    head *other = NULL;
    if (c->head != NULL) {
        TRY(head_open(&in->head, c->head));
        TRY(digest_of_file(c->head, in->head_sha256));
        in->head_path = c->head;
    }
    for (size_t i = 0; i < all_sources(in) && c->head == NULL; i++) {
        const source *s = nth(in, i);
        if (s == NULL) continue;
        TRY(head_of_source(&other, s));
        if (other == NULL) continue;
        if (in->head == NULL) {
            in->head = other;
            in->head_path = s->path;
            other = NULL;
            continue;
        }
        if (!c->force) TRY(head_check_equal(in->head, in->head_path, other, s->path));
        head_free(&other);
    }
    for (size_t i = 0; i < all_sources(in) && in->head != NULL; i++)
        if (nth(in, i) != NULL) TRY(head_check(in->head, in->head_path, nth(in, i)));
done:
    head_free(&other);
    return rc;
}

/* ---- the files against each other ------------------------------------------------------------- */

static int check_shapes(const source *a, const source *b)
{
    int rc = 0;
    CHECK(a->d == b->d || a->d == 0 || b->d == 0, ERR_INPUT,
          "%s has features [%zu,%zu], %s has [%zu,%zu]: not of one model", a->path, a->n, a->d,
          b->path, b->n, b->d);
    CHECK(a->c == b->c || a->c == 0 || b->c == 0, ERR_INPUT,
          "%s has logits [%zu,%zu], %s has [%zu,%zu]: not of one model", a->path, a->n, a->c,
          b->path, b->n, b->c);
done:
    return rc;
}

/* Every test set must offer what the ID set offers. */
static int check_alike(const run_inputs *in, int logits_matter)
{
    int rc = 0;
    for (size_t s = 0; s < in->ood.n + in->csid.n; s++) {
        const source *a = in->id, *b = in->test[s];
        CHECK((a->d > 0) == (b->d > 0), ERR_INPUT, "%s has features, %s has none",
              a->d > 0 ? a->path : b->path, a->d > 0 ? b->path : a->path);
        CHECK(!logits_matter || (a->c > 0) == (b->c > 0), ERR_INPUT, "%s has logits, %s has none",
              a->c > 0 ? a->path : b->path, a->c > 0 ? b->path : a->path);
    }
done:
    return rc;
}

static int check_all(const run_inputs *in, const run_config *c)
{
    int rc = 0;
    const source *first = in->id != NULL ? in->id : in->val_id;
    int logits = c->stored_logits || in->head == NULL || first->d == 0;
    size_t classes = in->head != NULL ? in->head->c : first->c;
    if (in->id != NULL) TRY(check_alike(in, logits));
    for (size_t i = 0; i < all_sources(in); i++) {
        const source *s = nth(in, i);
        if (s == NULL) continue;
        TRY(check_shapes(first, s));
        rc = source_check_same_model(first, s);
        if (rc < 0 && c->force) {
            log_warn("%s", err_text());
            err_clear();
            rc = 0;
        }
        TRY(rc);
        if (i < 3 && classes > 0) TRY(source_check_labels(s, classes));
    }
    for (size_t i = 0; i < in->csid.n && classes > 0; i++)
        TRY(source_check_labels(in->csid.v[i].s, classes));
    for (size_t i = 0; i < all_sources(in); i++)
        if (nth(in, i) != NULL) TRY(source_check_finite(nth(in, i), logits));
    TRY(run_check_bench(in, c));
done:
    return rc;
}

/* ---- for the results -------------------------------------------------------------------------- */

static void list_input(run_inputs *in, const char *role, const char *name, const char *path,
                       const char *sha256, const source *s)
{
    in->input[in->n_input++] = (result_input){
        .role = role, .name = name, .path = path, .sha256 = sha256, .rows = s != NULL ? s->n : 0,
        .left_out = s != NULL ? source_rows_of_file(s) - s->n : 0 };
}

static void list_sets(run_inputs *in, const char *role, const run_sets *l)
{
    for (size_t i = 0; i < l->n; i++)
        list_input(in, role, l->v[i].name, l->v[i].s->path, l->v[i].s->sha256, l->v[i].s);
}

static int list_inputs(run_inputs *in, const run_config *c)
{
    int rc = 0;
    char model[sizeof in->model];
    const source *first = in->id != NULL ? in->id : in->val_id;
    TRY(mem_new(&in->input, all_sources(in) + 4, sizeof *in->input, "inputs"));
    if (in->train != NULL)
        list_input(in, "train", NULL, in->train->path, in->train->sha256, in->train);
    if (in->id != NULL) list_input(in, "id", NULL, in->id->path, in->id->sha256, in->id);
    list_sets(in, "ood", &in->ood);
    list_sets(in, "csid", &in->csid);
    if (in->val_id != NULL)
        list_input(in, "val-id", NULL, in->val_id->path, in->val_id->sha256, in->val_id);
    list_sets(in, "val-ood", &in->val_ood);
    if (c->head != NULL) list_input(in, "head", NULL, c->head, in->head_sha256, NULL);
    if (c->labels != NULL) list_input(in, "labels", NULL, c->labels, in->labels_sha256, NULL);
    if (c->id_labels != NULL)
        list_input(in, "id-labels", NULL, c->id_labels, in->id_labels_sha256, NULL);
    if (c->val_labels != NULL)
        list_input(in, "val-labels", NULL, c->val_labels, in->val_labels_sha256, NULL);
    if (source_model(first, model, sizeof model) != NULL) memcpy(in->model, model, sizeof model);
done:
    return rc;
}

int run_inputs_open(run_inputs *in, const run_config *c)
{
    int rc = 0;
    TRY(open_sources(in, c));
    TRY(open_head(in, c));
    TRY(check_all(in, c));
    TRY(list_inputs(in, c));
done:
    return rc;
}

static void close_sets(run_sets *l)
{
    for (size_t i = 0; i < l->n; i++) {
        source_close(&l->v[i].s);
        free(l->v[i].name);
        free(l->v[i].path);
    }
    free(l->v);
}

void run_inputs_close(run_inputs *in)
{
    source_close(&in->train);
    source_close(&in->id);
    source_close(&in->val_id);
    close_sets(&in->ood);
    close_sets(&in->csid);
    close_sets(&in->val_ood);
    free(in->train_path);
    free(in->id_path);
    free(in->val_id_path);
    free(in->test);
    free(in->val);
    free(in->set);
    free(in->csid_name);
    free(in->input);
    head_free(&in->head);
    bench_free(&in->bench);
    memset(in, 0, sizeof *in);
}

/* ---- the test sets ------------------------------------------------------------------------------ */

size_t run_test_sets(const run_inputs *in)
{
    return 1 + in->ood.n + in->csid.n;
}

const source *run_test_set(const run_inputs *in, size_t i, const char **name)
{
    const source *s = i == 0 ? in->id : in->test[i - 1];
    *name = i == 0 ? "id" : s->name;
    return s;
}

engine_options run_engine_options(const run_inputs *in, const run_config *c, struct linalg *la)
{
    return (engine_options){ .head = in->head,
                             .train = in->train,
                             .id = in->id,
                             .ood = in->test,
                             .n_ood = in->ood.n + in->csid.n,
                             .val_id = in->val_id,
                             .val_ood = in->val,
                             .n_val_ood = in->val_ood.n,
                             .memory = c->memory,
                             .threads = c->threads > 0 ? c->threads : omp_get_max_threads(),
                             .stored_logits = c->stored_logits,
                             .la = la };
}
