/* From the words of the command line to methods with options. */
#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 256 };

/* Whether `word` is one of the words of text, which are joined by one of `joints`. */
static int has_word(const char *text, const char *word, const char *joints)
{
    size_t n = strlen(word);
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, joints);
        if (len == n && memcmp(at, word, n) == 0) return 1;
        at += len + (at[len] != '\0');
    }
    return 0;
}

static int unknown_method(const char *word)
{
    const char *names[NAMES_MAX], *near;
    size_t n = 0;
    for (; methods[n] != NULL && n < NAMES_MAX - 3; n++)
        names[n] = methods[n]->name;
    names[n++] = "all";
    names[n++] = "openood";
    names[n++] = "seeds";
    near = args_nearest(word, names, n);
    if (near != NULL) return err_set(ERR_USAGE, "no method '%s'; did you mean '%s'?", word, near);
    return err_set(ERR_USAGE, "no method '%s'; `score methods` lists them", word);
}

static int unknown_option(const method *m, const char *key)
{
    const char *names[METHOD_OPTS_MAX], *near;
    size_t n = 0;
    for (; m->opts != NULL && m->opts[n].name != NULL; n++)
        names[n] = m->opts[n].name;
    if (n == 0) return err_set(ERR_USAGE, "%s has no options, so no '%s'", m->name, key);
    near = args_nearest(key, names, n);
    if (near != NULL)
        return err_set(ERR_USAGE, "%s has no option '%s'; did you mean '%s'?", m->name, key, near);
    return err_set(ERR_USAGE, "%s has no option '%s'; `score methods %s` lists them", m->name, key,
                   m->name);
}

static int check_value(const method *m, const method_opt *o, const char *value)
{
    int rc = 0;
    char what[128];
    double v;
    int text = o->words == NULL && o->min == o->max;
    if (!text && (o->words == NULL || !has_word(o->words, value, "|"))) {
        CHECK(o->min < o->max, ERR_USAGE, "%s.%s is one of %s, not '%s'", m->name, o->name, o->words,
              value);
        snprintf(what, sizeof what, "%s.%s", m->name, o->name);
        TRY(args_parse_double(&v, value, what));
        CHECK(v >= o->min && v <= o->max, ERR_USAGE, "%s.%s is %s, allowed is %g to %g", m->name,
              o->name, value, o->min, o->max);
        CHECK(!(o->kind & METHOD_WHOLE) || v == floor(v), ERR_USAGE, "%s.%s is %s, not a whole number", m->name,
              o->name, value);
    }
done:
    return rc;
}

/* "50+100": each of them, no two alike. */
static int check_list(const method *m, const method_opt *o, const char *value)
{
    int rc = 0;
    args_list each = {0};
    TRY(args_split(&each, value, '+'));
    for (size_t i = 0; i < each.n; i++) {
        TRY(check_value(m, o, each.v[i]));
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(each.v[i], each.v[k]) != 0, ERR_USAGE, "%s.%s names %s twice", m->name, o->name, each.v[i]);
    }
done:
    args_list_clear(&each);
    return rc;
}

/* Checks a value against the table and stores a copy. */
static int set_option(method_use *u, const char *key, const char *value)
{
    int rc = 0;
    const method *m = u->m;
    const method_opt *o = m->opts;
    char *copy = NULL;
    while (o != NULL && o->name != NULL && strcmp(o->name, key) != 0)
        o++;
    if (o == NULL || o->name == NULL) return unknown_option(m, key);
    TRY(((o->kind & METHOD_LIST) && strchr(value, '+') != NULL ? check_list : check_value)(m, o, value));
    TRY(mem_strdup(&copy, value));
    free((void *)(uintptr_t)u->params.value[o - m->opts]);
    u->params.value[o - m->opts] = copy;
done:
    return rc;
}

typedef struct use_list {
    method_use *v;
    size_t n, room;
} use_list;

static int add_use(use_list *l, const method *m, method_use **out)
{
    static const method_opt none = {0};
    int rc = mem_grow(&l->v, &l->room, l->n + 1, sizeof *l->v, "methods");
    if (rc < 0) return rc;
    memset(&l->v[l->n], 0, sizeof *l->v);
    l->v[l->n].m = m;
    l->v[l->n].params.opts = m->opts != NULL ? m->opts : &none;
    *out = &l->v[l->n++];
    return 0;
}

static int has_plain(const use_list *l, const method *m)
{
    for (size_t i = 0; i < l->n; i++) {
        int plain = l->v[i].m == m;
        for (int k = 0; k < METHOD_OPTS_MAX; k++)
            plain = plain && l->v[i].params.value[k] == NULL;
        if (plain) return 1;
    }
    return 0;
}

/* "gen", "all", a group. */
static int add_word(use_list *l, const char *word)
{
    int rc = 0, found = 0;
    const method *m = method_find(word);
    method_use *u;
    /* "gen", "vim" and "mos" are methods and groups; alone they mean the group, in a list of several
     * names the method: see engine_resolve */
    if (m != NULL) return has_plain(l, m) ? 0 : add_use(l, m, &u);
    for (size_t i = 0; methods[i] != NULL; i++) {
        m = methods[i];
        if (strcmp(word, "all") != 0 && !has_word(m->groups, word, " ")) continue;
        found = 1;
        if (!has_plain(l, m)) TRY(add_use(l, m, &u));
    }
    if (!found) return unknown_method(word);
done:
    return rc;
}

static int is_group(const char *word)
{
    for (size_t i = 0; methods[i] != NULL; i++)
        if (has_word(methods[i]->groups, word, " ")) return 1;
    return 0;
}

static int add_group(use_list *l, const char *word)
{
    int rc = 0;
    method_use *u;
    for (size_t i = 0; methods[i] != NULL; i++)
        if (has_word(methods[i]->groups, word, " ")) TRY(add_use(l, methods[i], &u));
done:
    return rc;
}

/* "gen:gamma=0.5:m=10" */
static int add_with_options(use_list *l, const char *text)
{
    int rc = 0;
    args_list parts = {0};
    const method *m;
    method_use *u;
    TRY(args_split(&parts, text, ':'));
    m = method_find(parts.v[0]);
    if (m == NULL) {
        rc = unknown_method(parts.v[0]);
        goto done;
    }
    TRY(add_use(l, m, &u));
    for (size_t i = 1; i < parts.n; i++) {
        char *key = (char *)(uintptr_t)parts.v[i], *eq = strchr(key, '=');
        CHECK(eq != NULL && eq != key, ERR_USAGE, "'%s' in '%s' is not KEY=VALUE", key, text);
        *eq = '\0';
        TRY(set_option(u, key, eq + 1));
    }
done:
    args_list_clear(&parts);
    return rc;
}

/* METHOD.KEY=VALUE for every use of METHOD; a use that sets KEY itself keeps its own. */
static int apply_set(use_list *l, const char *text)
{
    int rc = 0;
    char *copy = NULL, *eq, *dot;
    const method *m;
    size_t hits = 0;
    TRY(mem_strdup(&copy, text));
    eq = strchr(copy, '=');
    dot = eq != NULL ? memchr(copy, '.', (size_t)(eq - copy)) : NULL;
    CHECK(dot != NULL && dot != copy && dot + 1 != eq, ERR_USAGE,
          "--set '%s' is not METHOD.KEY=VALUE", text);
    *eq = *dot = '\0';
    m = method_find(copy);
    if (m == NULL) {
        rc = unknown_method(copy);
        goto done;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].m != m) continue;
        hits++;
        TRY(set_option(&l->v[i], dot + 1, eq + 1));
    }
    CHECK(hits > 0, ERR_USAGE, "--set '%s': %s is not among the methods", text, m->name);
done:
    free(copy);
    return rc;
}

/* ---- lists of values ------------------------------------------------------------------------- */

static int copy_use(method_use *to, const method_use *from)
{
    int rc = 0;
    memset(to, 0, sizeof *to);
    to->m = from->m;
    to->params.opts = from->params.opts;
    for (int i = 0; i < METHOD_OPTS_MAX; i++) {
        char *copy = NULL;
        if (from->params.value[i] == NULL) continue;
        TRY(mem_strdup(&copy, from->params.value[i]));
        to->params.value[i] = copy;
    }
done:
    return rc;
}

static int list_option(const method_use *u)
{
    for (int i = 0; u->params.opts[i].name != NULL; i++)
        if ((u->params.opts[i].kind & METHOD_LIST) && u->params.value[i] != NULL && strchr(u->params.value[i], '+') != NULL)
            return i;
    return -1;
}

/* A use with "50+100" becomes two, in its place. */
static int expand(use_list *l)
{
    int rc = 0;
    args_list each = {0};
    for (size_t i = 0; i < l->n; i++) {
        int at = list_option(&l->v[i]);
        if (at < 0) continue;
        args_list_clear(&each);
        TRY(args_split(&each, l->v[i].params.value[at], '+'));
        TRY(mem_grow(&l->v, &l->room, l->n + each.n - 1, sizeof *l->v, "methods"));
        memmove(l->v + i + each.n, l->v + i + 1, (l->n - i - 1) * sizeof *l->v);
        memset(l->v + i + 1, 0, (each.n - 1) * sizeof *l->v);
        l->n += each.n - 1;
        for (size_t k = 1; k < each.n; k++)
            TRY(copy_use(&l->v[i + k], &l->v[i]));
        for (size_t k = 0; k < each.n; k++) {
            char *copy = NULL;
            TRY(mem_strdup(&copy, each.v[k]));
            free((void *)(uintptr_t)l->v[i + k].params.value[at]);
            l->v[i + k].params.value[at] = copy;
        }
    }
done:
    args_list_clear(&each);
    return rc;
}

int engine_resolve(method_use **uses, size_t *n, const char *spec, const char *const *sets,
                   size_t n_sets)
{
    int rc = 0;
    use_list l = {0};
    args_list words = {0};
    TRY(args_split(&words, spec, ','));
    if (words.n == 1 && is_group(spec))
        TRY(add_group(&l, spec));
    else
        for (size_t i = 0; i < words.n; i++)
            TRY(strchr(words.v[i], ':') != NULL ? add_with_options(&l, words.v[i])
                                                : add_word(&l, words.v[i]));
    for (size_t i = 0; i < n_sets; i++)
        TRY(apply_set(&l, sets[i]));
    TRY(expand(&l));
    *uses = l.v;
    *n = l.n;
    l.v = NULL;
done:
    args_list_clear(&words);
    engine_free_uses(&l.v, l.v != NULL ? l.n : 0, 0);
    return rc;
}

void engine_free_uses(method_use **uses, size_t n, size_t n_sets)
{
    method_use *u = *uses;
    if (u == NULL) return;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < METHOD_OPTS_MAX; k++)
            free((void *)(uintptr_t)u[i].params.value[k]);
        for (size_t s = 0; u[i].scores != NULL && s < n_sets; s++)
            free(u[i].scores[s]);
        free(u[i].scores);
    }
    free(u);
    *uses = NULL;
}
