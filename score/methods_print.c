#include "score/methods_print.h"
#include "common/args.h"
#include "common/err.h"
#include "score/method.h"

#include <string.h>

static const struct {
    unsigned bit;
    const char *name;
} needs[] = {
    {NEEDS_FEATURES, "features"},
    {NEEDS_LOGITS, "logits"},
    {NEEDS_HEAD, "head"},
    {NEEDS_TRAIN, "train"},
    {NEEDS_TRAIN_LABELS, "train labels"},
    {NEEDS_VAL, "ID validation set"},
    {NEEDS_VAL_LABELS, "its labels"},
    {NEEDS_VAL_OOD, "OOD validation set"},
};

enum { N_NEEDS = sizeof needs / sizeof needs[0] };

/* ---- words ----------------------------------------------------------------------------------- */

static void print_needs(FILE *f, unsigned bits)
{
    const char *joint = "";
    for (size_t i = 0; i < N_NEEDS; i++) {
        if (!(bits & needs[i].bit)) continue;
        fprintf(f, "%s%s", joint, needs[i].name);
        joint = ", ";
    }
}

static void print_line(FILE *f, const method *m)
{
    fprintf(f, "%-17s %s\n", m->name, m->formula);
}

static void print_full(FILE *f, const method *m)
{
    fprintf(f, "%s (%s)\n\n  score    %s\n           larger = more in-distribution\n", m->name,
            m->title, m->formula);
    fprintf(f, "  paper    %s\n", m->paper);
    if (m->quirks != NULL) fprintf(f, "  note     %s\n", m->quirks);
    fprintf(f, "  groups   %s\n  needs    ", m->groups);
    print_needs(f, m->needs);
    if (m->probe != NULL) fprintf(f, ", extract --probe %s", m->probe);
    fprintf(f, "\n");
    if (m->opts == NULL) return;
    fprintf(f, "\noptions (--set %s.KEY=VALUE):\n", m->name);
    for (const method_opt *o = m->opts; o->name != NULL; o++)
        fprintf(f, "  %-12s %s  [%s]\n", o->name, o->help, o->def);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* The table's texts are ASCII without control characters. */
static void json_text(FILE *f, const char *s)
{
    if (s == NULL) {
        fprintf(f, "null");
        return;
    }
    fputc('"', f);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\') fputc('\\', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

static void json_words(FILE *f, const char *s)
{
    const char *joint = "";
    fputc('[', f);
    while (*s != '\0') {
        size_t n = strcspn(s, " ");
        fprintf(f, "%s\"%.*s\"", joint, (int)n, s);
        joint = ",";
        s += n + (s[n] == ' ');
    }
    fputc(']', f);
}

static void json_method(FILE *f, const method *m)
{
    const char *joint = "";
    const struct {
        const char *key, *text;
    } texts[] = {{"name", m->name},
                 {"title", m->title},
                 {"formula", m->formula},
                 {"paper", m->paper},
                 {"quirks", m->quirks}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fprintf(f, "%s\"%s\":", i == 0 ? "{" : ",", texts[i].key);
        json_text(f, texts[i].text);
    }
    fprintf(f, ",\"groups\":");
    json_words(f, m->groups);
    fprintf(f, ",\"needs\":[");
    for (size_t i = 0; i < N_NEEDS; i++) {
        if (!(m->needs & needs[i].bit)) continue;
        fprintf(f, "%s\"%s\"", joint, needs[i].name);
        joint = ",";
    }
    fprintf(f, "],\"options\":[");
    for (const method_opt *o = m->opts; o != NULL && o->name != NULL; o++) {
        fprintf(f, "%s{\"name\":\"%s\",\"default\":\"%s\",\"help\":", o == m->opts ? "" : ",",
                o->name, o->def);
        json_text(f, o->help);
        if (o->min < o->max) fprintf(f, ",\"min\":%.17g,\"max\":%.17g", o->min, o->max);
        fputc('}', f);
    }
    fprintf(f, "]}");
}

/* ---- both ------------------------------------------------------------------------------------ */

static int no_such(const char *name)
{
    const char *names[256], *near;
    size_t n = 0;
    for (; methods[n] != NULL && n < 256; n++)
        names[n] = methods[n]->name;
    near = args_nearest(name, names, n);
    if (near != NULL) return err_set(ERR_USAGE, "no method '%s'; did you mean '%s'?", name, near);
    return err_set(ERR_USAGE, "no method '%s'; `score methods` lists them", name);
}

int methods_print(FILE *f, const char *name, int json)
{
    const method *m = name != NULL ? method_find(name) : NULL;
    if (name != NULL && m == NULL) return no_such(name);
    if (json && m != NULL) json_method(f, m);
    else if (json)
        for (size_t i = 0; methods[i] != NULL; i++) {
            fputs(i == 0 ? "[\n" : ",\n", f);
            json_method(f, methods[i]);
        }
    else if (m != NULL) print_full(f, m);
    else
        for (size_t i = 0; methods[i] != NULL; i++)
            print_line(f, methods[i]);
    if (json) fputs(m != NULL ? "\n" : "\n]\n", f);
    return ferror(f) ? err_set(ERR_ENV, "cannot write the list of methods") : 0;
}
