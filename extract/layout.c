#include "extract/layout.h"

#include <stdio.h>
#include <string.h>

/* ---- patterns ---------------------------------------------------------------------------------- */

enum { RUNS_MAX = 6 };

typedef struct captured { /* what the wildcards of a pattern stood for, inside the name */
    const char *run[RUNS_MAX];
    int run_n[RUNS_MAX], runs;
    const char *rest;
} captured;

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int match(const char *p, const char *name, captured *c)
{
    c->runs = 0;
    c->rest = "";
    for (; *p != '\0'; p++) {
        if (*p == '*' && p[1] == '\0') {
            c->rest = name;
            return 1;
        }
        if (*p == '#') {
            const char *start = name;
            while (is_digit(*name))
                name++;
            if (name == start || c->runs == RUNS_MAX) return 0;
            c->run[c->runs] = start;
            c->run_n[c->runs++] = (int)(name - start);
        } else if (*p != *name++) {
            return 0;
        }
    }
    return *name == '\0';
}

int layout_matches(const char *pattern, const char *name)
{
    captured c;
    return match(pattern, name, &c);
}

typedef struct text { /* a name that is being written; full: it did not fit */
    char *at;
    size_t n, room;
    int full;
} text;

static void put(text *t, const char *s, size_t n)
{
    if (n >= t->room - t->n) {
        t->full = 1;
        return;
    }
    memcpy(t->at + t->n, s, n);
    t->n += n;
}

/* Writes the part'th of "{a|b|c}" and returns how many there are; *p is moved to the brace's end. */
static int put_choice(text *t, const char **p, int part)
{
    int i = 0;
    const char *s = *p + 1;
    for (;; i++) {
        size_t n = strcspn(s, "|}");
        if (i == part) put(t, s, n);
        s += n;
        if (*s != '|') break;
        s++;
    }
    *p = *s == '}' ? s : s - 1;
    return i + 1;
}

/* The template with what was captured; returns the number of arrays, 0 when it does not fit. */
static int expand(const char *p, const captured *c, int part, char *out, size_t room)
{
    text t = { out, 0, room, 0 };
    int run = 0, parts = 1;
    for (; *p != '\0'; p++) {
        if (*p == '#' && run < c->runs) {
            put(&t, c->run[run], (size_t)c->run_n[run]);
            run++;
        } else if (*p == '*' && p[1] == '\0') {
            put(&t, c->rest, strlen(c->rest));
        } else if (*p == '{') {
            parts = put_choice(&t, &p, part);
        } else {
            put(&t, p, 1);
        }
    }
    out[t.n] = '\0';
    return t.full ? 0 : parts;
}

/* ---- names ------------------------------------------------------------------------------------- */

int layout_key_of(const layout *l, const char *ours, int part, char *out, size_t room, key_how *how)
{
    captured c;
    if (how != NULL) *how = KEY_COPY;
    for (const key_rule *r = l->rules; r != NULL && r->ours != NULL; r++)
        if (match(r->ours, ours, &c)) {
            if (how != NULL) *how = r->how;
            return expand(r->theirs, &c, part, out, room);
        }
    match("*", ours, &c);
    return expand("*", &c, part, out, room);
}

int layout_key(const layout *l, const param *p, char *out, size_t room, int part)
{
    return layout_key_of(l, p->name, part, out, room, NULL);
}

int layout_ignores(const layout *l, const char *name)
{
    for (const char *const *p = l->ignored; p != NULL && *p != NULL; p++)
        if (layout_matches(*p, name)) return 1;
    return 0;
}
