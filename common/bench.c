#include "common/bench.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"

enum { FILE_MAX = 256 * 1024, SETS_MAX = 1000, SCALAR_MAX = 1024, NAME_MAX_ = 100 };

static const char *const roles[BENCH_ROLES + 1] = {"train", "id",   "val-id", "val-ood",
                                                   "ood",   "csid", NULL};

const char *bench_role_name(bench_role role)
{
    return roles[role];
}

const bench_set *bench_find(const bench *b, bench_role role, const char *name)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->set[i].role == role && (name == NULL || strcmp(b->set[i].name, name) == 0))
            return &b->set[i];
    return NULL;
}

/* ---- what the keys are --------------------------------------------------------------------------- */

enum kind { TEXT, NAME, ROLE, GROUP, FORMAT, CONVENTION, DIGEST, COUNT };

typedef struct key {
    const char *name;
    enum kind kind;
    size_t at; /* offset of the char * (COUNT: size_t, ROLE: bench_role) */
    int required;
} key;

static const key top_keys[] = {
    {"benchmark", NAME, offsetof(bench, name), 1},
    {"title", TEXT, offsetof(bench, title), 0},
    {"fpr95", CONVENTION, offsetof(bench, fpr95), 0},
    {NULL, TEXT, 0, 0},
};

static const key set_keys[] = {
    {"role", ROLE, offsetof(bench_set, role), 1},
    {"name", NAME, offsetof(bench_set, name), 1},
    {"group", GROUP, offsetof(bench_set, group), 0},
    {"list", TEXT, offsetof(bench_set, list), 0},
    {"format", FORMAT, offsetof(bench_set, format), 0},
    {"sha256", DIGEST, offsetof(bench_set, sha256), 0},
    {"root", TEXT, offsetof(bench_set, root), 0},
    {"images", COUNT, offsetof(bench_set, images), 0},
    {NULL, TEXT, 0, 0},
};

static const char *const groups[] = {"near", "far", NULL};
static const char *const formats[] = {"gen", "openood", "mos", NULL};
static const char *const conventions[] = {"vim", "mos", "react", "openood", NULL};

static int refuse(const bench *b, size_t line, const char *rule, const char *words,
                  const char *value)
{
    return err_set(ERR_INPUT, "%s: bench-%s: line %zu: %s%s%s%s", b->path, rule, line, words,
                   value != NULL ? " '" : "", value != NULL ? value : "", value != NULL ? "'" : "");
}

static int one_of(const char *const *words, const char *text)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0) return i;
    return -1;
}

static int good_name(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > NAME_MAX_ || s[0] == '.' || s[0] == '-') return 0;
    for (; *s != '\0'; s++)
        if (!isalnum((unsigned char)*s) && strchr("._-", *s) == NULL) return 0;
    return 1;
}

static int good_digest(const char *s)
{
    size_t n = strspn(s, "0123456789abcdef");
    return s[n] == '\0' && n >= 16 && n <= 64;
}

static int store(const bench *b, void *object, const key *k, const char *text, size_t line)
{
    int rc = 0, at;
    char *field = (char *)object + k->at;
    char *end;
    unsigned long long n;
    switch (k->kind) {
    case NAME:
        if (!good_name(text))
            return refuse(b, line, "value", "not a name of letters, digits, . _ -:", text);
        break;
    case DIGEST:
        if (!good_digest(text))
            return refuse(b, line, "value", "not 16 to 64 lower-case hex digits:", text);
        break;
    case GROUP:
        if (one_of(groups, text) < 0)
            return refuse(b, line, "value", "group is near or far, not", text);
        break;
    case FORMAT:
        if (one_of(formats, text) < 0)
            return refuse(b, line, "value", "format is gen, openood or mos, not", text);
        break;
    case CONVENTION:
        if (one_of(conventions, text) < 0)
            return refuse(b, line, "value", "fpr95 is vim, mos, react or openood, not", text);
        break;
    case ROLE:
        at = one_of(roles, text);
        if (at < 0)
            return refuse(b, line, "value", "role is train, id, val-id, val-ood, ood or csid, not",
                          text);
        *(bench_role *)(void *)field = (bench_role)at;
        return 0;
    case COUNT:
        n = strtoull(text, &end, 10);
        if (!isdigit((unsigned char)text[0]) || *end != '\0' || n == 0 || n > 1000000000000ull)
            return refuse(b, line, "value", "not a number of images:", text);
        *(size_t *)(void *)field = (size_t)n;
        return 0;
    case TEXT:
        break;
    }
    TRY(mem_strdup((char **)(void *)field, text));
done:
    return rc;
}

/* ---- YAML ------------------------------------------------------------------------------------------ */

typedef struct reader {
    bench *b;
    yaml_parser_t parser;
    yaml_event_t e; /* the current event */
    int open, have;
} reader;

static size_t line_of(const reader *r)
{
    return r->e.start_mark.line + 1;
}

static int next(reader *r)
{
    const char *why;
    if (r->have) yaml_event_delete(&r->e);
    r->have = 0;
    if (!yaml_parser_parse(&r->parser, &r->e)) {
        if (r->parser.error == YAML_MEMORY_ERROR)
            return err_set(ERR_ENV, "%s: no memory", r->b->path);
        why = r->parser.problem != NULL ? r->parser.problem : "not YAML";
        return refuse(r->b,
                      (r->parser.error == YAML_READER_ERROR ? 0 : r->parser.problem_mark.line) + 1,
                      "syntax", why, NULL);
    }
    r->have = 1;
    return 0;
}

/* The current event is a plain scalar without NUL, anchor or tag; *text points into it. */
static int scalar(const reader *r, const char *what, const char **text)
{
    size_t n;
    if (r->e.type == YAML_ALIAS_EVENT)
        return refuse(r->b, line_of(r), "alias", "aliases are not read", NULL);
    if (r->e.type != YAML_SCALAR_EVENT) return refuse(r->b, line_of(r), "nesting", what, NULL);
    if (r->e.data.scalar.anchor != NULL || r->e.data.scalar.tag != NULL)
        return refuse(r->b, line_of(r), "alias", "anchors and tags are not read", NULL);
    n = r->e.data.scalar.length;
    if (n > SCALAR_MAX || memchr(r->e.data.scalar.value, '\0', n) != NULL)
        return refuse(r->b, line_of(r), "value",
                      "a value of more than 1024 bytes, or with NUL in it", NULL);
    *text = (const char *)r->e.data.scalar.value;
    return 0;
}

static int unknown_key(const reader *r, const key *keys, const char *extra, const char *word)
{
    const char *names[16], *near;
    char words[300];
    size_t n = 0;
    for (; keys[n].name != NULL; n++)
        names[n] = keys[n].name;
    if (extra != NULL) names[n++] = extra;
    near = args_nearest(word, names, n);
    snprintf(words, sizeof words, "%s%s%sno key", near ? "did you mean '" : "", near ? near : "",
             near ? "'? there is " : "");
    return refuse(r->b, line_of(r), "key", words, word);
}

/* Whether text at `k` was there before. */
static int take_key(reader *r, const key *keys, const char *extra, unsigned *seen, int *at)
{
    int rc = 0;
    const char *word;
    TRY(scalar(r, "a key is one word", &word));
    for (*at = 0; keys[*at].name != NULL && strcmp(keys[*at].name, word) != 0;)
        ++*at;
    if (keys[*at].name == NULL && (extra == NULL || strcmp(word, extra) != 0))
        return unknown_key(r, keys, extra, word);
    if (*seen & 1u << *at) return refuse(r->b, line_of(r), "twice", "a second", word);
    *seen |= 1u << *at;
done:
    return rc;
}

static int required(const bench *b, const key *keys, unsigned seen, size_t line)
{
    for (int i = 0; keys[i].name != NULL; i++)
        if (keys[i].required && !(seen & 1u << i))
            return refuse(b, line, "missing", "no", keys[i].name);
    return 0;
}

static int check_set(const bench *b, const bench_set *s)
{
    int rc = 0;
    const bench_set *other;
    if (s->group != NULL && s->role != BENCH_OOD)
        return refuse(b, s->line, "group", "near and far are groups of OOD sets; this is",
                      roles[s->role]);
    for (size_t i = 0; i + 1 < b->n; i++) {
        other = &b->set[i];
        if (strcmp(other->name, s->name) == 0)
            return refuse(b, s->line, "twice", "a second set", s->name);
        if (other->role == s->role && s->role <= BENCH_VAL_ID)
            return refuse(b, s->line, "twice", "a second set of role", roles[s->role]);
    }
    return rc;
}

static int read_set(reader *r)
{
    int rc = 0, at;
    unsigned seen = 0;
    bench *b = r->b;
    bench_set *s;
    const char *text;
    if (r->e.type != YAML_MAPPING_START_EVENT || r->e.data.mapping_start.anchor != NULL ||
        r->e.data.mapping_start.tag != NULL)
        return refuse(b, line_of(r), "nesting", "a set is a mapping like {role: ood, name: x}",
                      NULL);
    if (b->n == SETS_MAX) return refuse(b, line_of(r), "limit", "more than 1000 sets", NULL);
    TRY(mem_grow(&b->set, &b->room, b->n + 1, sizeof *b->set, b->path));
    s = &b->set[b->n++];
    memset(s, 0, sizeof *s);
    s->line = line_of(r);
    for (;;) {
        TRY(next(r));
        if (r->e.type == YAML_MAPPING_END_EVENT) break;
        TRY(take_key(r, set_keys, NULL, &seen, &at));
        TRY(next(r));
        TRY(scalar(r, "a value of a set is one word or text", &text));
        TRY(store(b, s, &set_keys[at], text, line_of(r)));
    }
    TRY(required(b, set_keys, seen, s->line));
    TRY(check_set(b, s));
done:
    return rc;
}

static int read_sets(reader *r)
{
    int rc = 0;
    if (r->e.type != YAML_SEQUENCE_START_EVENT || r->e.data.sequence_start.anchor != NULL ||
        r->e.data.sequence_start.tag != NULL)
        return refuse(r->b, line_of(r), "nesting", "'sets' is a sequence of mappings", NULL);
    for (;;) {
        TRY(next(r));
        if (r->e.type == YAML_SEQUENCE_END_EVENT) break;
        TRY(read_set(r));
    }
done:
    return rc;
}

static int read_top(reader *r)
{
    int rc = 0, at;
    unsigned seen = 0;
    const char *text;
    bench *b = r->b;
    TRY(next(r)); /* stream start */
    TRY(next(r));
    if (r->e.type == YAML_STREAM_END_EVENT) return refuse(b, 1, "empty", "nothing in it", NULL);
    TRY(next(r));
    if (r->e.type != YAML_MAPPING_START_EVENT || r->e.data.mapping_start.anchor != NULL ||
        r->e.data.mapping_start.tag != NULL)
        return refuse(b, line_of(r), "nesting", "not a mapping with 'benchmark' and 'sets'", NULL);
    for (;;) {
        TRY(next(r));
        if (r->e.type == YAML_MAPPING_END_EVENT) break;
        TRY(take_key(r, top_keys, "sets", &seen, &at));
        TRY(next(r));
        if (top_keys[at].name == NULL) {
            TRY(read_sets(r));
            continue;
        }
        TRY(scalar(r, "this value is one word or text", &text));
        TRY(store(b, b, &top_keys[at], text, line_of(r)));
    }
    TRY(required(b, top_keys, seen, 1));
    if (bench_find(b, BENCH_ID, NULL) == NULL)
        return refuse(b, 1, "missing", "no set of role", "id");
    if (bench_find(b, BENCH_OOD, NULL) == NULL)
        return refuse(b, 1, "missing", "no set of role", "ood");
    TRY(next(r)); /* document end */
    TRY(next(r));
    if (r->e.type != YAML_STREAM_END_EVENT)
        return refuse(b, line_of(r), "document", "a second document", NULL);
done:
    return rc;
}

/* ---- file -------------------------------------------------------------------------------------------- */

static int read_bytes(const char *path, unsigned char **out, size_t *n)
{
    int rc = 0;
    struct stat st;
    unsigned char *v = NULL;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL, errno == ENOENT || errno == ENOTDIR ? ERR_INPUT : ERR_ENV, "%s: %s", path,
          strerror(errno));
    CHECK(fstat(fileno(f), &st) == 0 && !S_ISDIR(st.st_mode), ERR_INPUT, "%s: not a file", path);
    TRY(mem_new(&v, FILE_MAX + 1, 1, path));
    *n = fread(v, 1, FILE_MAX + 1, f);
    CHECK(!ferror(f), ERR_ENV, "%s: cannot be read: %s", path, strerror(errno));
    CHECK(*n <= FILE_MAX, ERR_INPUT, "%s: bench-limit: line 1: more than 256 KiB", path);
    *out = v;
    v = NULL;
done:
    free(v);
    if (f != NULL) fclose(f);
    return rc;
}

int bench_read(bench **out, const char *path)
{
    int rc = 0;
    reader r = {0};
    unsigned char *bytes = NULL;
    size_t n = 0;
    bench *b = NULL;
    TRY(mem_new(&b, 1, sizeof *b, path));
    TRY(mem_strdup(&b->path, path));
    r.b = b;
    TRY(read_bytes(path, &bytes, &n));
    CHECK(yaml_parser_initialize(&r.parser), ERR_ENV, "%s: no memory", path);
    r.open = 1;
    yaml_parser_set_input_string(&r.parser, bytes, n);
    TRY(read_top(&r));
    *out = b;
    b = NULL;
done:
    if (r.have) yaml_event_delete(&r.e);
    if (r.open) yaml_parser_delete(&r.parser);
    free(bytes);
    bench_free(&b);
    return rc;
}

void bench_free(bench **out)
{
    bench *b = *out;
    if (b == NULL) return;
    for (size_t i = 0; i < b->n; i++) {
        bench_set *s = &b->set[i];
        free(s->name);
        free(s->group);
        free(s->list);
        free(s->format);
        free(s->sha256);
        free(s->root);
    }
    free(b->set);
    free(b->name);
    free(b->title);
    free(b->fpr95);
    free(b->path);
    free(b);
    *out = NULL;
}
