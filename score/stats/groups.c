#include "score/stats/groups.h"
#include "common/arrays.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_MAX = 65536 };

/* ---- files ------------------------------------------------------------------------------------ */

/* The first bytes of .npy, zip containers and pickles; text has none of them. */
static int looks_binary(const unsigned char *at, size_t n)
{
    return n > 1 && (at[0] == 0x93 || at[0] == 0x80 || (at[0] == 'P' && at[1] == 'K'));
}

static int numbers_of_arrays(double **v, size_t *n, const char *path)
{
    int rc = 0;
    arrays *all = NULL;
    const array *a;
    int64_t *i = NULL;
    float *x = NULL;
    TRY(arrays_open(&all, path));
    CHECK(arrays_count(all) == 1, ERR_INPUT, "%s: %zu arrays, expected one", path,
          arrays_count(all));
    a = arrays_at(all, 0);
    *n = a->count;
    TRY(mem_new(v, a->count, sizeof **v, path));
    if (a->type >= ARRAY_I64) {
        TRY(mem_new(&i, a->count, sizeof *i, path));
        TRY(array_to_i64(a, i));
        for (size_t k = 0; k < a->count; k++)
            (*v)[k] = (double)i[k];
    } else {
        TRY(mem_new(&x, a->count, sizeof *x, path));
        array_to_f32(a, x);
        for (size_t k = 0; k < a->count; k++)
            (*v)[k] = (double)x[k];
    }
done:
    arrays_close(&all);
    free(i);
    free(x);
    return rc;
}

static int read_text(char **text, const char *path, int *binary)
{
    int rc = 0;
    FILE *f = fopen(path, "rb");
    char *t = NULL;
    size_t n = 0, room = 0, got;
    *binary = 0;
    CHECK(f != NULL, ERR_INPUT, "%s: cannot open", path);
    do {
        TRY(mem_grow(&t, &room, n + 65536 + 1, 1, path));
        got = fread(t + n, 1, 65536, f);
        n += got;
        if (n == got && looks_binary((const unsigned char *)t, n)) *binary = 1;
    } while (got > 0 && !*binary);
    CHECK(!ferror(f), ERR_ENV, "%s: cannot read", path);
    t[n] = '\0';
    CHECK(*binary || memchr(t, 0, n) == NULL, ERR_INPUT, "%s: not a text of numbers", path);
    *text = t;
    t = NULL;
done:
    if (f != NULL) fclose(f);
    free(t);
    return rc;
}

/* All of a text, or 0 numbers when a word is none. */
static int numbers_of_text(double **v, size_t *n, char *text, const char *path)
{
    int rc = 0;
    size_t room = 0;
    char *save = NULL, *end;
    *n = 0;
    for (char *word = strtok_r(text, " \t\r\n,;[]()", &save); word != NULL;
         word = strtok_r(NULL, " \t\r\n,;[]()", &save)) {
        double x = strtod(word, &end);
        if (*end != '\0' || !isfinite(x)) {
            *n = 0;
            goto done;
        }
        TRY(mem_grow(v, &room, *n + 1, sizeof **v, path));
        (*v)[(*n)++] = x;
    }
done:
    return rc;
}

int numbers_read(double **v, size_t *n, const char *path)
{
    int rc = 0, binary;
    char *text = NULL;
    double *out = NULL;
    TRY(read_text(&text, path, &binary));
    if (binary) TRY(numbers_of_arrays(&out, n, path));
    else TRY(numbers_of_text(&out, n, text, path));
    CHECK(*n > 0, ERR_INPUT, "%s: no numbers, or words among them", path);
    *v = out;
    out = NULL;
done:
    free(text);
    free(out);
    return rc;
}

/* ---- groups ----------------------------------------------------------------------------------- */

static int fill(class_groups *g, const double *v, size_t n, const char *what, int sizes)
{
    int rc = 0;
    double most = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(v[i] == floor(v[i]) && v[i] >= 0 && v[i] < 1e6, ERR_INPUT,
              "%s: %g is no size and no number of a group", what, v[i]);
        most = v[i] > most ? v[i] : most;
        total += v[i];
    }
    g->n = sizes ? n : (size_t)most + 1;
    g->classes = sizes ? (size_t)total : n;
    CHECK(g->n > 0 && g->n <= GROUPS_MAX && g->classes > 0 && g->classes <= 1u << 24, ERR_INPUT,
          "%s: %zu groups of %zu classes", what, g->n, g->classes);
    TRY(mem_new(&g->size, g->n, sizeof *g->size, what));
    TRY(mem_new(&g->of, g->classes, sizeof *g->of, what));
    for (size_t i = 0, at = 0; i < n; i++) {
        if (!sizes) {
            g->of[i] = (int32_t)v[i];
            g->size[g->of[i]]++;
            continue;
        }
        g->size[i] = (size_t)v[i];
        for (size_t k = 0; k < g->size[i]; k++)
            g->of[at++] = (int32_t)i;
    }
    for (size_t i = 0; i < g->n; i++)
        CHECK(g->size[i] > 0, ERR_INPUT, "%s: group %zu has no class", what, i);
done:
    return rc;
}

/* Numbers are groups of classes when each is below the number of groups it implies and every group
 * occurs, as sizes do only by an accident that needs a size below their number everywhere. */
static int are_groups_of_classes(const double *v, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = v[i] > most ? v[i] : most;
    if (!(most + 1 < (double)n)) return 0;
    for (double g = 0; g <= most; g++) {
        size_t i = 0;
        while (i < n && v[i] != g)
            i++;
        if (i == n) return 0;
    }
    return 1;
}

/* Lines "path group class-in-group": sizes from the largest number in each group. */
static int sizes_of_list(double **v, size_t *n, char *text, const char *path)
{
    int rc = 0;
    size_t room = 0, line = 0;
    char *save = NULL;
    *n = 0;
    for (char *l = strtok_r(text, "\r\n", &save); l != NULL; l = strtok_r(NULL, "\r\n", &save)) {
        char *sub = strrchr(l, ' '), *group, *end, *end_group;
        long g, s;
        line++;
        CHECK(sub != NULL && sub != l, ERR_INPUT, "%s: line %zu is not 'path group class'", path, line);
        for (group = sub - 1; group > l && group[-1] != ' ';)
            group--;
        s = strtol(sub + 1, &end, 10);
        g = strtol(group, &end_group, 10);
        CHECK(*end == '\0' && end != sub + 1 && end_group == sub && g >= 0 && g < GROUPS_MAX &&
                  s >= 0 && s < 1000000,
              ERR_INPUT, "%s: line %zu is not 'path group class'", path, line);
        TRY(mem_grow(v, &room, (size_t)g + 1, sizeof **v, path));
        while (*n <= (size_t)g)
            (*v)[(*n)++] = 0;
        if ((*v)[g] < (double)(s + 1)) (*v)[g] = (double)(s + 1);
    }
    CHECK(*n > 0, ERR_INPUT, "%s: no groups in it", path);
done:
    return rc;
}

static int read_file(class_groups *g, const char *path)
{
    int rc = 0, binary, list = 0;
    char *text = NULL, *again = NULL;
    double *v = NULL;
    size_t n = 0;
    TRY(read_text(&text, path, &binary));
    if (binary) TRY(numbers_of_arrays(&v, &n, path));
    else {
        TRY(mem_strdup(&again, text));
        TRY(numbers_of_text(&v, &n, text, path));
        list = n == 0;
        if (list) {
            free(v);
            v = NULL;
            TRY(sizes_of_list(&v, &n, again, path));
        }
    }
    TRY(fill(g, v, n, path, list || !are_groups_of_classes(v, n)));
done:
    free(text);
    free(again);
    free(v);
    return rc;
}

int groups_read(class_groups *g, const char *text)
{
    int rc = 0;
    static const double mos[] = {398, 521, 9, 7, 52, 8, 3, 2};
    double *v = NULL;
    char *end;
    size_t n = 0, room = 0;
    memset(g, 0, sizeof *g);
    if (strcmp(text, "mos") == 0) TRY(fill(g, mos, 8, text, 1));
    else if (strspn(text, "0123456789+") == strlen(text)) {
        for (const char *at = text; *at != '\0'; at = *end == '+' ? end + 1 : end) {
            TRY(mem_grow(&v, &room, n + 1, sizeof *v, "groups"));
            v[n++] = (double)strtoul(at, &end, 10);
            CHECK(end != at && (*end == '\0' || end[1] != '\0'), ERR_USAGE,
                  "groups '%s' is not SIZE+SIZE+...", text);
        }
        TRY(fill(g, v, n, text, 1));
    } else TRY(read_file(g, text));
done:
    free(v);
    if (rc < 0) groups_clear(g);
    return rc;
}

void groups_clear(class_groups *g)
{
    free(g->size);
    free(g->of);
    memset(g, 0, sizeof *g);
}
