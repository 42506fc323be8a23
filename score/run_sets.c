/* Which files a run reads: options, and the sets of a benchmark in a folder of features. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/run.h"

/* ---- names ------------------------------------------------------------------------------------ */

static const char *take_group(const char **word)
{
    static const char *const groups[] = {"near", "far"};
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(groups[i]);
        if (strncmp(*word, groups[i], n) != 0 || (*word)[n] != ':') continue;
        *word += n + 1;
        return groups[i];
    }
    return NULL;
}

/* "[near:|far:][NAME=]FILE": a '=' before any '/' ends a name. */
static int add_word(run_sets *l, const char *option, const char *word)
{
    int rc = 0;
    const char *group = strcmp(option, "ood") == 0 ? take_group(&word) : NULL, *path, *base, *dot;
    const char *eq = strchr(word, '='), *slash = strchr(word, '/');
    run_set *s;
    size_t n;
    if (eq != NULL && eq > word && (slash == NULL || eq < slash)) {
        path = eq + 1;
        base = word;
        n = (size_t)(eq - word);
    } else {
        path = word;
        base = strrchr(word, '/');
        base = base != NULL ? base + 1 : word;
        dot = strrchr(base, '.');
        n = dot != NULL && dot > base ? (size_t)(dot - base) : strlen(base);
    }
    CHECK(*path != '\0' && n > 0, ERR_USAGE, "--%s: '%s' names no file", option, word);
    TRY(mem_grow(&l->v, &l->room, l->n + 1, sizeof *l->v, "sets"));
    s = &l->v[l->n++];
    *s = (run_set){.group = group};
    TRY(mem_new(&s->name, n + 1, 1, "name of a set"));
    memcpy(s->name, base, n);
    TRY(mem_strdup(&s->path, path));
done:
    return rc;
}

static int add_words(run_sets *l, const char *option, const args_strings *words)
{
    int rc = 0;
    for (size_t i = 0; i < words->n; i++)
        TRY(add_word(l, option, words->v[i]));
done:
    return rc;
}

static run_set *named(const run_sets *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].name, name) == 0) return &l->v[i];
    return NULL;
}

static int check_names(const run_inputs *in)
{
    const run_sets *const lists[] = {&in->ood, &in->csid};
    static const char *const option[] = {"ood", "csid"};
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->n; i++) {
            const run_set *s = &lists[l]->v[i];
            if (strcmp(s->name, "id") == 0)
                return err_set(ERR_USAGE, "--%s: 'id' is the name of the ID set; write NAME=FILE",
                               option[l]);
            if (named(lists[l], s->name) != s || (l == 1 && named(&in->ood, s->name) != NULL))
                return err_set(ERR_USAGE, "--%s: two sets are called '%s'; write NAME=FILE",
                               option[l], s->name);
        }
    for (size_t i = 0; i < in->val_ood.n; i++)
        if (named(&in->val_ood, in->val_ood.v[i].name) != &in->val_ood.v[i])
            return err_set(ERR_USAGE, "--val-ood: two sets are called '%s'; write NAME=FILE",
                           in->val_ood.v[i].name);
    return 0;
}

/* Gives the sets named in a list their group. */
static int set_group(run_inputs *in, const char *names, const char *group)
{
    int rc = 0;
    args_list l = {0};
    const char **known = NULL;
    if (names == NULL) goto done;
    TRY(args_split(&l, names, ','));
    TRY(mem_new(&known, in->ood.n, sizeof *known, "sets"));
    for (size_t i = 0; i < in->ood.n; i++)
        known[i] = in->ood.v[i].name;
    for (size_t k = 0; k < l.n; k++) {
        run_set *s = named(&in->ood, l.v[k]);
        const char *near = args_nearest(l.v[k], known, in->ood.n);
        CHECK(s != NULL, ERR_USAGE, "--%s: no OOD set '%s'%s%s%s", group, l.v[k],
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        CHECK(s->group == NULL, ERR_USAGE, "'%s' is named twice in --near and --far", l.v[k]);
        s->group = group;
    }
done:
    free(known);
    args_list_clear(&l);
    return rc;
}

/* ---- a benchmark in a folder ------------------------------------------------------------------ */

/* DIR/NAME.h5, .npz, .pkl or .npy, whichever is there first; *path stays NULL when none is. */
static int find_file(char **path, const char *dir, const char *name)
{
    static const char *const suffix[] = {".h5", ".npz", ".pkl", ".npy"};
    int rc = 0;
    size_t room = strlen(dir) + strlen(name) + 8;
    char *at = NULL;
    *path = NULL;
    TRY(mem_new(&at, room, 1, "path"));
    for (int i = 0; i < 4; i++) {
        snprintf(at, room, "%s/%s%s", dir, name, suffix[i]);
        if (access(at, F_OK) != 0) continue;
        *path = at;
        return 0;
    }
done:
    free(at);
    return rc;
}

static int add_bench_set(run_sets *l, const bench_set *s, const run_config *c)
{
    int rc = 0;
    char *path = NULL;
    TRY(find_file(&path, c->features, s->name));
    if (path == NULL) {
        CHECK(c->force, ERR_INPUT,
              "%s: no %s.h5 (or .npz, .pkl, .npy) for the %s set of line %zu of %s; "
              "--force leaves it out",
              c->features, s->name, bench_role_name(s->role), s->line, c->bench);
        log_warn("%s: no file of '%s', left out", c->features, s->name);
        goto done;
    }
    TRY(mem_grow(&l->v, &l->room, l->n + 1, sizeof *l->v, "sets"));
    l->v[l->n] = (run_set){.path = path, .group = s->group};
    path = NULL;
    TRY(mem_strdup(&l->v[l->n++].name, s->name));
done:
    free(path);
    return rc;
}

/* The one set of a role, when no option named its file. */
static int single(char **path, const run_inputs *in, const run_config *c, bench_role role,
                  int needed)
{
    int rc = 0;
    const bench_set *s = bench_find(in->bench, role, NULL);
    if (*path != NULL || s == NULL) goto done;
    TRY(find_file(path, c->features, s->name));
    CHECK(*path != NULL || !needed, ERR_INPUT,
          "%s: no %s.h5 (or .npz, .pkl, .npy) for the %s set of %s", c->features, s->name,
          bench_role_name(role), c->bench);
    if (*path == NULL)
        log_info("%s: no file of '%s': no %s set", c->features, s->name, bench_role_name(role));
done:
    return rc;
}

static int from_bench(run_inputs *in, const run_config *c)
{
    int rc = 0;
    TRY(bench_read(&in->bench, c->bench));
    for (size_t i = 0; i < in->ood.n; i++) {
        const bench_set *s = bench_find(in->bench, BENCH_OOD, in->ood.v[i].name);
        if (s != NULL && in->ood.v[i].group == NULL) in->ood.v[i].group = s->group;
    }
    if (c->features == NULL) goto done;
    TRY(single(&in->train_path, in, c, BENCH_TRAIN, 0));
    TRY(single(&in->id_path, in, c, BENCH_ID, 1));
    TRY(single(&in->val_id_path, in, c, BENCH_VAL_ID, 0));
    for (size_t i = 0; i < in->bench->n; i++) {
        const bench_set *s = &in->bench->set[i];
        char *path = NULL;
        if (s->role == BENCH_OOD && named(&in->ood, s->name) == NULL)
            TRY(add_bench_set(&in->ood, s, c));
        /* a full spectrum and a tuning set are there or not, as the folder says */
        if (s->role != BENCH_CSID && s->role != BENCH_VAL_OOD) continue;
        TRY(find_file(&path, c->features, s->name));
        if (path != NULL &&
            named(s->role == BENCH_CSID ? &in->csid : &in->val_ood, s->name) == NULL)
            rc = add_bench_set(s->role == BENCH_CSID ? &in->csid : &in->val_ood, s, c);
        free(path);
        TRY(rc);
    }
done:
    return rc;
}

static int copy(char **to, const char *from)
{
    return from != NULL ? mem_strdup(to, from) : 0;
}

int run_name_inputs(run_inputs *in, const run_config *c)
{
    int rc = 0;
    CHECK(c->features == NULL || c->bench != NULL, ERR_USAGE,
          "--features is the folder of the sets of --bench");
    TRY(copy(&in->train_path, c->train));
    TRY(copy(&in->id_path, c->id));
    TRY(copy(&in->val_id_path, c->val_id));
    TRY(add_words(&in->ood, "ood", &c->ood));
    TRY(add_words(&in->csid, "csid", &c->csid));
    TRY(add_words(&in->val_ood, "val-ood", &c->val_ood));
    TRY(check_names(in));
    TRY(set_group(in, c->near, "near"));
    TRY(set_group(in, c->far, "far"));
    if (c->bench != NULL) TRY(from_bench(in, c));
    TRY(check_names(in));
    if (!c->optional_test || in->ood.n > 0)
        CHECK(in->id_path != NULL, ERR_USAGE, "--id is needed, or --bench with --features");
    if (!c->optional_test || in->id_path != NULL)
        CHECK(in->ood.n > 0, ERR_USAGE, "--ood is needed, or --bench with --features");
done:
    return rc;
}

/* ---- is it the published set? ----------------------------------------------------------------- */

static int differs(const run_inputs *in, const source *s, const bench_set *b, char *why,
                   size_t room)
{
    char list[65];
    size_t rows = source_rows_of_file(s);
    if (b->images > 0 && rows != b->images) {
        snprintf(why, room, "%s has %zu rows, '%s' of %s has %zu images", s->path, rows, b->name,
                 in->bench->name, b->images);
        return 1;
    }
    if (b->sha256 != NULL && source_list_sha256(s, list) &&
        strncmp(list, b->sha256, strlen(b->sha256)) != 0) {
        snprintf(why, room, "%s was made from a list of SHA-256 %.16s..., '%s' of %s is %.16s...",
                 s->path, list, b->name, in->bench->name, b->sha256);
        return 1;
    }
    return 0;
}

static int check_one(const run_inputs *in, const run_config *c, const source *s, bench_role role,
                     const char *name)
{
    int rc = 0;
    const bench_set *b = bench_find(in->bench, role, name);
    char why[600];
    if (s == NULL || b == NULL || !differs(in, s, b, why, sizeof why)) return 0;
    CHECK(c->force, ERR_INPUT, "%s; --force takes it anyway", why);
    log_warn("%s", why);
done:
    return rc;
}

static int check_list(const run_inputs *in, const run_config *c, const run_sets *l, bench_role role)
{
    int rc = 0;
    for (size_t i = 0; i < l->n; i++)
        TRY(check_one(in, c, l->v[i].s, role, l->v[i].name));
done:
    return rc;
}

int run_check_bench(const run_inputs *in, const run_config *c)
{
    int rc = 0;
    if (in->bench == NULL) return 0;
    TRY(check_one(in, c, in->train, BENCH_TRAIN, NULL));
    TRY(check_one(in, c, in->id, BENCH_ID, NULL));
    TRY(check_one(in, c, in->val_id, BENCH_VAL_ID, NULL));
    TRY(check_list(in, c, &in->ood, BENCH_OOD));
    TRY(check_list(in, c, &in->csid, BENCH_CSID));
    TRY(check_list(in, c, &in->val_ood, BENCH_VAL_OOD));
done:
    return rc;
}
