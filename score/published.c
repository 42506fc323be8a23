/* Published tables (CSV files of docs/published): where they are, how they are read, what names mean. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/result_file.h"

enum { CSV_MOST = 16 << 20, COLUMNS = 7, NAMES = 200 };

/* ---- where ------------------------------------------------------------------------------------ */

/* The i-th folder that may hold them, 0 when there are no more. */
static int folder(int i, char *buf, size_t room)
{
    static const char *const beside[] = {"../docs/published",
                                         "../share/doc/outpost/docs/published"};
    char exe[4096];
    const char *own = getenv("OUTPOST_PUBLISHED");
    ssize_t n;
    char *slash;
    if (i == 0) {
        snprintf(buf, room, "%s", own != NULL ? own : "");
        return 1;
    }
    if (i > 2) return 0;
    n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return 0;
    exe[n] = '\0';
    slash = strrchr(exe, '/');
    if (slash != NULL) *slash = '\0';
    snprintf(buf, room, "%s/%s", exe, beside[i - 1]);
    return 1;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All names that there are, sorted, into names [NAMES]; owned by the caller. */
static size_t list_names(char **names)
{
    char dir[8300];
    size_t n = 0;
    for (int i = 0; folder(i, dir, sizeof dir); i++) {
        DIR *d = *dir != '\0' ? opendir(dir) : NULL;
        struct dirent *e;
        while (d != NULL && n < NAMES && (e = readdir(d)) != NULL) {
            size_t len = strlen(e->d_name);
            if (len <= 4 || strcmp(e->d_name + len - 4, ".csv") != 0) continue;
            names[n] = strndup(e->d_name, len - 4);
            if (names[n] != NULL) n++;
        }
        if (d != NULL) closedir(d);
    }
    qsort(names, n, sizeof *names, by_text);
    return n;
}

static int unknown(const char *name)
{
    char *names[NAMES], all[1500] = "";
    size_t n = list_names(names), at = 0;
    const char *near = args_nearest(name, (const char *const *)names, n);
    for (size_t i = 0; i < n && at < sizeof all; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i > 0 ? ", " : "", names[i]);
    err_set(ERR_USAGE, "no published table '%s'%s%s%s; there %s %s", name,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
            n == 0 ? "is" : "are", n == 0 ? "none" : all);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    return ERR_USAGE;
}

int published_find(char **path, const char *name)
{
    char dir[8300], file[9000];
    if (strchr(name, '/') != NULL) return mem_strdup(path, name);
    for (int i = 0; folder(i, dir, sizeof dir); i++) {
        snprintf(file, sizeof file, "%s/%s.csv", dir, name);
        if (*dir != '\0' && access(file, F_OK) == 0) return mem_strdup(path, file);
    }
    return unknown(name);
}

/* ---- CSV -------------------------------------------------------------------------------------- */

/* Cuts one line into fields in place, RFC 4180 without line ends in quotes; NULL: malformed. */
static char *cut_field(char **at)
{
    char *p = *at, *start, *to;
    if (*p != '"') {
        start = p;
        p += strcspn(p, ",\"");
        if (*p == '"') return NULL;
        *at = *p == ',' ? p + 1 : p;
        if (*p == ',') *p = '\0';
        else *at = NULL;
        return start;
    }
    start = to = ++p;
    for (;; p++) {
        if (*p == '\0') return NULL;
        if (*p == '"' && *++p != '"') break;
        *to++ = *p;
    }
    if (*p != ',' && *p != '\0') return NULL;
    *at = *p == ',' ? p + 1 : NULL;
    *to = '\0';
    return start;
}

static int cut_line(char *line, char *field[COLUMNS])
{
    char *at = line;
    for (int i = 0; i < COLUMNS; i++) {
        if (at == NULL) return 0;
        field[i] = cut_field(&at);
        if (field[i] == NULL) return 0;
    }
    return at == NULL;
}

static int add_line(result_values *r, char *field[COLUMNS], size_t line)
{
    int rc = 0;
    char *end;
    double v = strtod(field[5], &end);
    const metric_field *f = metric_field_find(field[4]);
    CHECK(f != NULL || strcmp(field[4], "accuracy") == 0 || strcmp(field[4], "auroc_std") == 0,
          ERR_INPUT, "%s: line %zu: no metric '%s'", r->path, line, field[4]);
    CHECK(end != field[5] && *end == '\0' && v >= 0 && v <= 100, ERR_INPUT,
          "%s: line %zu: '%s' is not a percentage", r->path, line, field[5]);
    CHECK(*field[2] != '\0' && *field[3] != '\0', ERR_INPUT, "%s: line %zu: no method or no set",
          r->path, line);
    TRY(mem_grow(&r->v, &r->room, r->n + 1, sizeof *r->v, "published"));
    r->v[r->n++] = (result_value){.table = field[0],
                                  .model = field[1],
                                  .method = field[2],
                                  .set = field[3],
                                  .metric = field[4],
                                  .source = field[6],
                                  .value = v / 100};
done:
    return rc;
}

static int read_text(char **out, const char *path)
{
    int rc = 0;
    struct stat st;
    char *text = NULL;
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL, errno == ENOENT ? ERR_INPUT : ERR_ENV, "%s: %s", path, strerror(errno));
    CHECK(fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= CSV_MOST, ERR_INPUT,
          "%s: not a file of at most 16 MiB", path);
    TRY(mem_new(&text, (size_t)st.st_size + 1, 1, path));
    n = fread(text, 1, (size_t)st.st_size, f);
    CHECK(strlen(text) == n, ERR_INPUT, "%s: NUL in it", path);
    *out = text;
    text = NULL;
done:
    free(text);
    if (f != NULL) fclose(f);
    return rc;
}

int result_values_read_csv(result_values *r, const char *path)
{
    int rc = 0;
    char *text = NULL, *field[COLUMNS], *at, *next;
    size_t line = 1;
    TRY(mem_strdup(&r->path, path));
    TRY(read_text(&text, path));
    TRY(mem_grow(&r->text, &r->room_text, 1, sizeof *r->text, "published"));
    r->text[r->n_text++] = text;
    for (at = text; at != NULL && *at != '\0'; at = next, line++) {
        char *end = strchr(at, '\n');
        next = end != NULL ? end + 1 : NULL;
        if (end != NULL) *end = '\0';
        if (end != NULL && end > at && end[-1] == '\r') end[-1] = '\0';
        if (line == 1) {
            CHECK(strcmp(at, "table,model,method,set,metric,value,source") == 0, ERR_INPUT,
                  "%s: line 1: not table,model,method,set,metric,value,source", path);
            continue;
        }
        if (*at == '\0') continue;
        CHECK(cut_line(at, field), ERR_INPUT, "%s: line %zu: not seven fields", path, line);
        TRY(add_line(r, field, line));
    }
    CHECK(r->n > 0, ERR_INPUT, "%s: no values in it", path);
done:
    return rc;
}

/* ---- names ------------------------------------------------------------------------------------ */

/* The next letter or digit in lower case, 0 at the end; a last 's' does not count. */
static int next_letter(const char **s)
{
    int c;
    while (**s != '\0' && !isalnum((unsigned char)**s))
        ++*s;
    if (**s == '\0') return 0;
    c = tolower((unsigned char)*(*s)++);
    return c == 's' && **s == '\0' ? 0 : c;
}

int same_name(const char *a, const char *b)
{
    int x, y;
    do {
        x = next_letter(&a);
        y = next_letter(&b);
    } while (x == y && x != 0);
    return x == y;
}

static int same_value(const json_t *v, const char *text, size_t n)
{
    char word[100], *end;
    double d;
    if (n >= sizeof word) return 0;
    memcpy(word, text, n);
    word[n] = '\0';
    d = strtod(word, &end);
    if (json_is_number(v)) return end != word && *end == '\0' && json_number_value(v) == d;
    return json_is_string(v) && strcmp(json_string_value(v), word) == 0;
}

int same_method(const result_value *published, const result_value *row)
{
    size_t n = strcspn(published->method, ":"), own = strcspn(row->method, ":");
    const char *at = published->method + n;
    json_t *params;
    int same = 1;
    if (n != own || memcmp(published->method, row->method, n) != 0) return 0;
    if (*at == '\0') return row->method[own] == '\0';
    if (strcmp(published->method, row->method) == 0) return 1;
    params = row->params != NULL ? json_loads(row->params, 0, NULL) : NULL;
    while (same && *at == ':') {
        char key[100];
        size_t k = strcspn(++at, "="), v = strcspn(at, ":");
        same = k < v && k < sizeof key;
        if (!same) break;
        memcpy(key, at, k);
        key[k] = '\0';
        same = same_value(json_object_get(params, key), at + k + 1, v - k - 1);
        at += v;
    }
    json_decref(params);
    return same;
}
