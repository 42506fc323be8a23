/* Grids of settings: words of the command line, published ones, uses of a method. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "score/sweep.h"

static int add_value(grid_key *k, const char *text)
{
    int rc = 0;
    CHECK(*text != '\0', ERR_USAGE, "--grid %s: an empty value", k->name);
    for (size_t i = 0; i < k->n; i++)
        CHECK(strcmp(k->value[i], text) != 0, ERR_USAGE, "--grid %s: '%s' twice", k->name, text);
    CHECK(k->n < SWEEP_POINTS_MAX, ERR_USAGE, "--grid %s: more than %d values", k->name,
          SWEEP_POINTS_MAX);
    TRY(mem_grow(&k->value, &k->room, k->n + 1, sizeof *k->value, "grid"));
    TRY(mem_strdup(&k->value[k->n], text));
    k->n++;
done:
    return rc;
}

/* A:B:STEP; a value within a millionth of a step of B counts as B. */
static int add_range(grid_key *k, const char *text)
{
    int rc = 0;
    args_list part = {0};
    double a, b, step, count;
    char value[40];
    TRY(args_split(&part, text, ':'));
    CHECK(part.n == 3, ERR_USAGE, "--grid %s: '%s' is not A:B:STEP", k->name, text);
    TRY(args_parse_double(&a, part.v[0], "--grid"));
    TRY(args_parse_double(&b, part.v[1], "--grid"));
    TRY(args_parse_double(&step, part.v[2], "--grid"));
    count = floor((b - a) / step + 1e-6);
    CHECK(step != 0 && count >= 0, ERR_USAGE, "--grid %s: '%s' has no value", k->name, text);
    CHECK(count < SWEEP_POINTS_MAX, ERR_USAGE, "--grid %s: '%s' has more than %d values", k->name,
          text, SWEEP_POINTS_MAX);
    for (size_t i = 0; i <= (size_t)count; i++) {
        snprintf(value, sizeof value, "%.12g", a + (double)i * step);
        TRY(add_value(k, value));
    }
done:
    args_list_clear(&part);
    return rc;
}

static int add_values(grid_key *k, const char *text)
{
    int rc = 0;
    args_list words = {0};
    if (strchr(text, ':') != NULL) return add_range(k, text);
    TRY(args_split(&words, text, ','));
    for (size_t i = 0; i < words.n; i++)
        TRY(add_value(k, words.v[i]));
done:
    args_list_clear(&words);
    return rc;
}

static int add_key(grid *g, const char *name, size_t n, const char *values)
{
    int rc = 0;
    grid_key *k;
    for (size_t i = 0; i < g->n; i++)
        CHECK(strlen(g->key[i].name) != n || memcmp(g->key[i].name, name, n) != 0, ERR_USAGE,
              "--grid %s twice", g->key[i].name);
    TRY(mem_grow(&g->key, &g->room, g->n + 1, sizeof *g->key, "grid"));
    k = &g->key[g->n++];
    *k = (grid_key){0};
    TRY(mem_new(&k->name, n + 1, 1, "grid"));
    memcpy(k->name, name, n);
    TRY(add_values(k, values));
    if (g->points == 0) g->points = 1;
    CHECK(!__builtin_mul_overflow(g->points, k->n, &g->points) && g->points <= SWEEP_POINTS_MAX,
          ERR_USAGE, "the grid has more than %d points", SWEEP_POINTS_MAX);
done:
    return rc;
}

int grid_add(grid *g, const char *text)
{
    const char *eq = strchr(text, '=');
    if (eq == NULL || eq == text || eq[1] == '\0')
        return err_set(ERR_USAGE, "--grid '%s' is not KEY=V1,V2,... or KEY=A:B:STEP", text);
    return add_key(g, text, (size_t)(eq - text), eq + 1);
}

int grid_add_preset(grid *g, const char *which, const char *name)
{
    int rc = 0, known = 0, found = 0;
    size_t n = strcspn(name, ":");
    for (const preset *p = presets; p->preset != NULL; p++) {
        if (strcmp(p->preset, which) != 0) continue;
        known = 1;
        if (strlen(p->method) != n || memcmp(p->method, name, n) != 0) continue;
        found = 1;
        TRY(add_key(g, p->key, strlen(p->key), p->values));
    }
    CHECK(known, ERR_USAGE, "no preset '%s'; there are openood and nac-resnet50, -vit-b-16, -vit-b-16-timm, -cifar10, -cifar100", which);
    CHECK(found, ERR_USAGE, "'%s' has no grid for %.*s", which, (int)n, name);
done:
    return rc;
}

void grid_clear(grid *g)
{
    for (size_t k = 0; k < g->n; k++) {
        for (size_t i = 0; i < g->key[k].n; i++)
            free(g->key[k].value[i]);
        free(g->key[k].value);
        free(g->key[k].name);
    }
    free(g->key);
    memset(g, 0, sizeof *g);
}

const char *grid_value(const grid *g, size_t point, size_t k)
{
    for (size_t i = 0; i < k; i++)
        point /= g->key[i].n;
    return g->key[k].value[point % g->key[k].n];
}

int grid_uses(const grid *g, const char *name, size_t first, size_t n, const char *const *sets,
              size_t n_sets, method_use **uses)
{
    int rc = 0;
    size_t room = 1, at = 0, count = 0, each = strlen(name) + 1;
    char *spec = NULL;
    CHECK(strchr(name, ',') == NULL, ERR_USAGE, "--method is one method, not '%s'", name);
    for (size_t k = 0; k < g->n; k++) {
        size_t most = 0;
        for (size_t i = 0; i < g->key[k].n; i++)
            if (strlen(g->key[k].value[i]) > most) most = strlen(g->key[k].value[i]);
        each += strlen(g->key[k].name) + most + 2;
    }
    TRY(mem_product(&room, each, n, "grid"));
    TRY(mem_new(&spec, room + 1, 1, "grid"));
    for (size_t p = 0; p < n; p++) {
        at += (size_t)snprintf(spec + at, room + 1 - at, "%s%s", p > 0 ? "," : "", name);
        for (size_t k = 0; k < g->n; k++)
            at += (size_t)snprintf(spec + at, room + 1 - at, ":%s=%s", g->key[k].name,
                                   grid_value(g, first + p, k));
    }
    TRY(engine_resolve(uses, &count, spec, sets, n_sets));
    CHECK(count == n, ERR_INTERNAL, "%zu uses for %zu points", count, n);
done:
    free(spec);
    return rc;
}
