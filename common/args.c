#include "common/args.h"
#include "common/args_pages.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int args_parse_double(double *out, const char *text, const char *what)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(*out))
        return err_set(ERR_USAGE, "%s: '%s' is not a number", what, text);
    return 0;
}

int args_parse_int(long long *out, const char *text, const char *what)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno == ERANGE)
        return err_set(ERR_USAGE, "%s: '%s' is not a whole number", what, text);
    return 0;
}

static int parse_size(size_t *out, const char *text, const char *what)
{
    char *end;
    unsigned long long v;
    unsigned shift = 0;
    errno = 0;
    v = strtoull(text, &end, 10);
    switch (*end) {
    case 'K': case 'k': shift = 10; end++; break;
    case 'M': case 'm': shift = 20; end++; break;
    case 'G': case 'g': shift = 30; end++; break;
    default: break;
    }
    if (end == text || text[0] == '-' || *end != '\0' || errno == ERANGE || v > (ULLONG_MAX >> shift))
        return err_set(ERR_USAGE, "%s: '%s' is not a size (like 512M or 2G)", what, text);
    *out = (size_t)(v << shift);
    return 0;
}

static int parse_duration(double *out, const char *text, const char *what)
{
    char *end;
    *out = strtod(text, &end);
    if (end != text && *end != '\0' && end[1] == '\0') {
        if (*end == 'm') *out *= 60;
        else if (*end == 'h') *out *= 3600;
        else if (*end != 's') end = NULL;
    } else if (end == text || *end != '\0') {
        end = NULL;
    }
    if (end == NULL || !isfinite(*out) || *out < 0)
        return err_set(ERR_USAGE, "%s: '%s' is not a duration (like 90s, 15m, 2h)", what, text);
    return 0;
}

int args_split(args_list *out, const char *text, char separator)
{
    int rc = 0;
    size_t n = 1;
    char *p;
    args_list l = { 0 };
    for (const char *s = text; *s != '\0'; s++)
        n += *s == separator;
    TRY(mem_strdup(&l.copy, text));
    TRY(mem_new(&l.v, n, sizeof *l.v, "list"));
    for (p = l.copy; p != NULL;) {
        char *cut = strchr(p, separator);
        if (cut != NULL) *cut++ = '\0';
        CHECK(*p != '\0', ERR_USAGE, "empty item in the list '%s'", text);
        l.v[l.n++] = p;
        p = cut;
    }
    *out = l;
    return 0;
done:
    args_list_clear(&l);
    return rc;
}

void args_list_clear(args_list *l)
{
    free(l->copy);
    free(l->v);
    memset(l, 0, sizeof *l);
}

/* Levenshtein distance of short words. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t row[MAX + 1], na = strlen(a), nb = strlen(b);
    if (na > MAX || nb > MAX) return MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t keep = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < keep) keep = row[j] + 1;
            if (row[j - 1] + 1 < keep) keep = row[j - 1] + 1;
            row[j] = keep;
        }
    }
    return row[nb];
}

const char *args_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

static int append(args_strings *s, const char *word)
{
    int rc = mem_grow(&s->v, &s->room, s->n + 1, sizeof *s->v, "option");
    if (rc == 0) s->v[s->n++] = word;
    return rc;
}

/* Stores one value into the configuration. */
static int set_option(const opt *o, void *config, const char *text)
{
    void *at = (char *)config + o->at;
    char what[80];
    long long i;
    double d;
    int rc = 0;
    snprintf(what, sizeof what, "--%s", o->name);
    if (o->choices != NULL) {
        size_t n = 0;
        const char *near;
        while (o->choices[n] != NULL && strcmp(o->choices[n], text) != 0)
            n++;
        if (o->choices[n] == NULL) {
            near = args_nearest(text, o->choices, n);
            return err_set(ERR_USAGE, "%s: '%s' is not one of its values%s%s%s", what, text,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    switch (o->kind) {
    case OPT_FLAG: *(int *)at = 1; break;
    case OPT_STRING: *(const char **)at = text; break;
    case OPT_INT:
        TRY(args_parse_int(&i, text, what));
        CHECK(o->min >= o->max ? i >= INT_MIN && i <= INT_MAX
                               : (double)i >= o->min && (double)i <= o->max,
              ERR_USAGE, "%s: %lld is outside %.0f..%.0f", what, i, o->min, o->max);
        *(int *)at = (int)i;
        break;
    case OPT_DOUBLE:
        TRY(args_parse_double(&d, text, what));
        CHECK(o->min >= o->max || (d >= o->min && d <= o->max), ERR_USAGE,
              "%s: %g is outside %g..%g", what, d, o->min, o->max);
        *(double *)at = d;
        break;
    case OPT_SIZE: rc = parse_size(at, text, what); break;
    case OPT_DURATION: rc = parse_duration(at, text, what); break;
    case OPT_REPEAT:
    case OPT_MANY: rc = append(at, text); break;
    }
done:
    return rc;
}

const opt args_common_opts[] = {
    { "help", 'h', OPT_FLAG, 0, NULL, "this text", NULL, NULL, 0, 0, 0 },
    { "quiet", 'q', OPT_FLAG, 0, NULL, "errors only on stderr", NULL, NULL, 0, 0, 0 },
    { "verbose", 'v', OPT_FLAG, 0, NULL, "more words on stderr", NULL, NULL, 0, 0, 0 },
    { NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

enum { HELP_AT = 28, HELP_WIDTH = 80 }; /* columns */

/* Words from column `*at` on, broken before HELP_WIDTH; a line of the text is one here. */
static void print_words(FILE *f, const char *text, int *at)
{
    while (*text != '\0') {
        int n = (int)strcspn(text, " \n"), gap = (int)strspn(text, " ");
        if (*text == '\n' || (*at > HELP_AT && *at + gap + (int)strcspn(text + gap, " \n") > HELP_WIDTH)) {
            fprintf(f, "\n%*s", HELP_AT, "");
            *at = HELP_AT;
            text += *text == '\n' ? 1 : gap;
            continue;
        }
        if (gap > 0) n = gap;
        fprintf(f, "%.*s", n, text);
        *at += n;
        text += n;
    }
}

static void print_option(FILE *f, const opt *o)
{
    char head[64], def[128];
    int at = HELP_AT;
    int n = snprintf(head, sizeof head, "  %c%c%s--%s%s%s%s", o->letter ? '-' : ' ',
                     o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                     o->value ? " " : "", o->value ? o->value : "",
                     o->kind == OPT_REPEAT || o->kind == OPT_MANY ? "..." : "");
    fprintf(f, "%-*s", HELP_AT, head);
    if (n >= HELP_AT) fprintf(f, "\n%*s", HELP_AT, "");
    print_words(f, o->help, &at);
    if (o->def != NULL) {
        snprintf(def, sizeof def, "  [%s]", o->def);
        print_words(f, def, &at);
    }
    fputc('\n', f);
}

void args_print_usage(FILE *f, const program *p, const command *c)
{
    fprintf(f, "usage: %s %s%s%s\n%s\n\n", p->name, c->name, *c->synopsis ? " " : "", c->synopsis,
            c->summary);
    for (const opt *o = c->opts; o != NULL && o->name != NULL; o++)
        print_option(f, o);
    for (const opt *o = args_common_opts; o->name != NULL; o++)
        print_option(f, o);
    if (c->about != NULL) fprintf(f, "\n%s\n", c->about);
}

static void print_program(FILE *f, const program *p)
{
    fprintf(f, "usage: %s COMMAND [options]\n%s\n\n", p->name, p->summary);
    for (const command *const *c = p->commands; *c != NULL; c++)
        fprintf(f, "  %-14s%s\n", (*c)->name, (*c)->summary);
    fprintf(f, "\n`%s COMMAND --help` describes a command, `%s --version` this build.\n", p->name,
            p->name);
}

static const opt *find_long(const command *c, const char *name, size_t n)
{
    const opt *const tables[] = { c->opts, args_common_opts };
    for (size_t t = 0; t < 2; t++)
        for (const opt *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
    return NULL;
}

static const opt *find_letter(const command *c, char letter)
{
    const opt *const tables[] = { c->opts, args_common_opts };
    for (size_t t = 0; t < 2; t++)
        for (const opt *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (o->letter == letter) return o;
    return NULL;
}

static int unknown_option(const program *p, const command *c, const char *word)
{
    const char *names[128], *near;
    size_t n = 0;
    const opt *const tables[] = { c->opts, args_common_opts };
    for (size_t t = 0; t < 2; t++)
        for (const opt *o = tables[t]; o != NULL && o->name != NULL && n < 128; o++)
            names[n++] = o->name;
    near = strncmp(word, "--", 2) == 0 ? args_nearest(word + 2, names, n) : NULL;
    return err_set(ERR_USAGE, "unknown option '%s'%s%s%s; `%s %s --help` lists them", word,
                   near ? "; did you mean --" : "", near ? near : "", near ? "?" : "", p->name,
                   c->name);
}

static int parse(const program *p, const command *c, int argc, char **argv, void *config)
{
    int rc = 0, only_words = 0;
    unsigned char seen[128] = { 0 };
    args_strings *words = (args_strings *)(void *)((char *)config + c->words_at);
    for (const opt *o = c->opts; o != NULL && o->name != NULL; o++)
        if (o->def != NULL && o->def[0] != '\0' && o->kind != OPT_FLAG && o->def[0] != '<')
            TRY(set_option(o, config, o->def));
    for (int i = 0; i < argc; i++) {
        const char *w = argv[i], *value = NULL;
        const opt *o;
        if (only_words || w[0] != '-' || w[1] == '\0') {
            CHECK(c->words_max != 0, ERR_USAGE, "'%s' is one word too many; `%s %s --help`", w,
                  p->name, c->name);
            TRY(append(words, w));
            continue;
        }
        if (strcmp(w, "--") == 0) {
            only_words = 1;
            continue;
        }
        if (w[1] == '-') {
            const char *eq = strchr(w, '=');
            o = find_long(c, w + 2, eq ? (size_t)(eq - w - 2) : strlen(w + 2));
            if (eq != NULL) value = eq + 1;
        } else {
            o = find_letter(c, w[1]);
            if (w[2] != '\0') value = w + 2;
        }
        if (o == NULL) TRY(unknown_option(p, c, w));
        if (o->kind == OPT_FLAG) {
            CHECK(value == NULL, ERR_USAGE, "%s takes no value", w);
            if (strcmp(o->name, "help") == 0) {
                args_print_usage(stdout, p, c);
                return 1;
            }
            if (strcmp(o->name, "quiet") == 0) log_open(p->name, LOG_ERROR);
            else if (strcmp(o->name, "verbose") == 0) log_open(p->name, LOG_DEBUG);
            else TRY(set_option(o, config, "1"));
        } else {
            if (value == NULL) {
                CHECK(i + 1 < argc, ERR_USAGE, "%s needs a value (%s)", w, o->value);
                value = argv[++i];
            }
            TRY(set_option(o, config, value));
            while (o->kind == OPT_MANY && i + 1 < argc && argv[i + 1][0] != '-')
                TRY(set_option(o, config, argv[++i]));
        }
        /* o may be of args_common_opts: pointers into two tables have no difference. */
        for (size_t k = 0; k < 128 && c->opts != NULL && c->opts[k].name != NULL; k++)
            if (o == &c->opts[k]) seen[k] = 1;
    }
    for (const opt *o = c->opts; o != NULL && o->name != NULL; o++)
        CHECK(!o->required || seen[o - c->opts], ERR_USAGE, "--%s is needed; `%s %s --help`",
              o->name, p->name, c->name);
    CHECK(c->words_max == 0 || words->n >= (size_t)c->words_min, ERR_USAGE,
          "usage: %s %s %s", p->name, c->name, c->synopsis);
    CHECK(c->words_max <= 0 || words->n <= (size_t)c->words_max, ERR_USAGE,
          "usage: %s %s %s", p->name, c->name, c->synopsis);
done:
    return rc;
}

static int run_command(const program *p, const command *c, int argc, char **argv)
{
    int rc = 0;
    void *config = NULL;
    TRY(mem_new(&config, 1, c->config_size > 0 ? c->config_size : 1, "configuration"));
    TRY(parse(p, c, argc, argv, config));
    rc = rc > 0 ? 0 : c->run(config); /* 1: help was printed */
done:
    if (config != NULL) {
        for (const opt *o = c->opts; o != NULL && o->name != NULL; o++)
            if (o->kind == OPT_REPEAT || o->kind == OPT_MANY)
                free(((args_strings *)(void *)((char *)config + o->at))->v);
        if (c->words_max != 0)
            free(((args_strings *)(void *)((char *)config + c->words_at))->v);
    }
    free(config);
    return rc;
}

static const command *find_command(const program *p, const char *name)
{
    for (const command *const *c = p->commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static int unknown_command(const program *p, const char *word)
{
    const char *names[64], *near;
    size_t n = 0;
    for (const command *const *c = p->commands; *c != NULL && n < 64; c++)
        names[n++] = (*c)->name;
    near = args_nearest(word, names, n);
    return err_set(ERR_USAGE, "no command '%s'%s%s%s; `%s --help` lists them", word,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", p->name);
}

int args_main(const program *p, int argc, char **argv)
{
    int rc = 0;
    const command *c;
    log_open(p->name, LOG_INFO);
    if (argc < 2) {
        print_program(stderr, p);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_program(stdout, p);
        goto done;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        rc = p->print_version(stdout, argc > 2 && strcmp(argv[2], "--json") == 0);
        goto done;
    }
    if (strcmp(argv[1], "--completion") == 0) { /* these two: for make install */
        args_print_completion(stdout, p);
        goto done;
    }
    if (strcmp(argv[1], "--man") == 0) {
        c = argc > 2 ? find_command(p, argv[2]) : NULL;
        if (c == NULL && argc > 2) TRY(unknown_command(p, argv[2]));
        args_print_man(stdout, p, c);
        goto done;
    }
    if (strcmp(argv[1], "help") == 0) {
        c = find_command(p, argv[2]);
        if (c == NULL) TRY(unknown_command(p, argv[2]));
        args_print_usage(stdout, p, c);
        goto done;
    }
    c = find_command(p, argv[1]);
    if (c == NULL) TRY(unknown_command(p, argv[1]));
    TRY(run_command(p, c, argc - 2, argv + 2));
done:
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_set(ERR_ENV, "cannot write to standard output");
    if (rc < 0) log_error("%s", err_text()[0] != '\0' ? err_text() : "failed without a message");
    return err_exit_status(rc);
}
