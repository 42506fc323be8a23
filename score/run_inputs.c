#include "score/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

/* ---- names of the OOD sets -------------------------------------------------------------------- */

/* "NAME=FILE" or "FILE": a '=' before any '/' ends a name. */
static int split_set(const char *word, char **name, const char **path)
{
    int rc = 0;
    const char *eq = strchr(word, '='), *slash = strchr(word, '/'), *base, *dot;
    size_t n;
    if (eq != NULL && eq > word && (slash == NULL || eq < slash)) {
        *path = eq + 1;
        base = word;
        n = (size_t)(eq - word);
    } else {
        *path = word;
        base = strrchr(word, '/');
        base = base != NULL ? base + 1 : word;
        dot = strrchr(base, '.');
        n = dot != NULL && dot > base ? (size_t)(dot - base) : strlen(base);
    }
    CHECK(**path != '\0' && n > 0, ERR_USAGE, "--ood: '%s' names no file", word);
    TRY(mem_new(name, n + 1, 1, "name of a set"));
    memcpy(*name, base, n);
done:
    return rc;
}

/* Gives the sets named in a list their group. */
static int set_group(run_inputs *in, const char *names, const char *group)
{
    int rc = 0;
    args_list l = { 0 };
    if (names == NULL) goto done;
    TRY(args_split(&l, names, ','));
    for (size_t k = 0; k < l.n; k++) {
        size_t s = 0;
        const char *near = args_nearest(l.v[k], (const char *const *)in->name, in->n_ood);
        while (s < in->n_ood && strcmp(in->name[s], l.v[k]) != 0)
            s++;
        CHECK(s < in->n_ood, ERR_USAGE, "--%s: no OOD set '%s'%s%s%s", group, l.v[k],
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        CHECK(in->set[s].group == NULL, ERR_USAGE, "'%s' is named twice in --near and --far",
              l.v[k]);
        in->set[s].group = group;
    }
done:
    args_list_clear(&l);
    return rc;
}

/* Names before any file is opened: a typing error shows at once. */
static int name_sets(run_inputs *in, const run_config *c, const char **path)
{
    int rc = 0;
    TRY(mem_new(&in->name, c->ood.n, sizeof *in->name, "sets"));
    TRY(mem_new(&in->set, c->ood.n, sizeof *in->set, "sets"));
    TRY(mem_new(&in->ood, c->ood.n, sizeof *in->ood, "sets"));
    in->n_ood = c->ood.n;
    for (size_t s = 0; s < in->n_ood; s++)
        TRY(split_set(c->ood.v[s], &in->name[s], &path[s]));
    for (size_t s = 0; s < in->n_ood; s++) {
        in->set[s].name = in->name[s];
        CHECK(strcmp(in->name[s], "id") != 0, ERR_USAGE,
              "--ood: 'id' is the name of the ID set; write NAME=FILE");
        for (size_t k = 0; k < s; k++)
            CHECK(strcmp(in->name[s], in->name[k]) != 0, ERR_USAGE,
                  "--ood: two sets are called '%s'; write NAME=FILE", in->name[s]);
    }
    TRY(set_group(in, c->near, "near"));
    TRY(set_group(in, c->far, "far"));
done:
    return rc;
}

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

static int open_sources(run_inputs *in, const run_config *c)
{
    int rc = 0;
    const char **path = NULL;
    TRY(mem_new(&path, c->ood.n, sizeof *path, "sets"));
    TRY(name_sets(in, c, path));
    if (c->train != NULL) TRY(open_source(&in->train, "train", c->train));
    TRY(open_source(&in->id, "id", c->id));
    for (size_t s = 0; s < in->n_ood; s++) {
        TRY(open_source(&in->ood[s], in->name[s], path[s]));
        in->set[s].n = in->ood[s]->n;
    }
    CHECK(c->labels == NULL || in->train != NULL, ERR_USAGE,
          "--labels are those of --train; --id-labels of --id");
    if (c->labels != NULL) {
        TRY(source_use_labels(in->train, c->labels, c->force));
        TRY(digest_of_file(c->labels, in->labels_sha256));
    }
    if (c->id_labels != NULL) {
        TRY(source_use_labels(in->id, c->id_labels, c->force));
        TRY(digest_of_file(c->id_labels, in->id_labels_sha256));
    }
done:
    free(path);
    return rc;
}

/* The i-th of all sources: train, id, the OOD sets; NULL behind the last or when there is none. */
static const source *nth(const run_inputs *in, size_t i)
{
    if (i == 0) return in->train;
    if (i == 1) return in->id;
    return i - 2 < in->n_ood ? in->ood[i - 2] : NULL;
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
    for (size_t i = 0; i < in->n_ood + 2 && c->head == NULL; i++) {
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
    for (size_t i = 0; i < in->n_ood + 2 && in->head != NULL; i++)
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
    for (size_t s = 0; s < in->n_ood; s++) {
        const source *a = in->id, *b = in->ood[s];
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
    int rc = 0, logits = c->stored_logits || in->head == NULL || in->id->d == 0;
    size_t classes = in->head != NULL ? in->head->c : in->id->c;
    TRY(check_alike(in, logits));
    for (size_t i = 0; i < in->n_ood + 2; i++) {
        const source *s = nth(in, i);
        if (s == NULL) continue;
        TRY(check_shapes(in->id, s));
        rc = source_check_same_model(in->id, s);
        if (rc < 0 && c->force) {
            log_warn("%s", err_text());
            err_clear();
            rc = 0;
        }
        TRY(rc);
        if (i < 2 && classes > 0) TRY(source_check_labels(s, classes));
    }
    for (size_t i = 0; i < in->n_ood + 2; i++)
        if (nth(in, i) != NULL) TRY(source_check_finite(nth(in, i), logits));
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

static int list_inputs(run_inputs *in, const run_config *c)
{
    int rc = 0;
    char model[sizeof in->model];
    TRY(mem_new(&in->input, in->n_ood + 5, sizeof *in->input, "inputs"));
    if (in->train != NULL)
        list_input(in, "train", NULL, in->train->path, in->train->sha256, in->train);
    list_input(in, "id", NULL, in->id->path, in->id->sha256, in->id);
    for (size_t s = 0; s < in->n_ood; s++)
        list_input(in, "ood", in->name[s], in->ood[s]->path, in->ood[s]->sha256, in->ood[s]);
    if (c->head != NULL) list_input(in, "head", NULL, c->head, in->head_sha256, NULL);
    if (c->labels != NULL) list_input(in, "labels", NULL, c->labels, in->labels_sha256, NULL);
    if (c->id_labels != NULL)
        list_input(in, "id-labels", NULL, c->id_labels, in->id_labels_sha256, NULL);
    if (source_model(in->id, model, sizeof model) != NULL) memcpy(in->model, model, sizeof model);
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

void run_inputs_close(run_inputs *in)
{
    source_close(&in->train);
    source_close(&in->id);
    for (size_t s = 0; s < in->n_ood; s++) {
        source_close(&in->ood[s]);
        free(in->name[s]);
    }
    free(in->ood);
    free(in->name);
    free(in->set);
    free(in->input);
    head_free(&in->head);
    memset(in, 0, sizeof *in);
}
