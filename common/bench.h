/* Benchmark files: which sets belong to a published protocol, and which lists they were published as.
 * YAML, one mapping of scalars and the sequence `sets` of flat mappings; datalists/README.md has
 * the grammar.  Anchors, aliases, tags, further documents and deeper nesting are refused. */
#ifndef OUTPOST_BENCH_H
#define OUTPOST_BENCH_H

#include <stddef.h>

typedef enum bench_role {
    BENCH_TRAIN,   /* at most one of each of the first three */
    BENCH_ID,
    BENCH_VAL_ID,
    BENCH_VAL_OOD,
    BENCH_OOD,
    BENCH_CSID,    /* covariate-shifted ID images of a full-spectrum evaluation */
    BENCH_ROLES
} bench_role;

typedef struct bench_set {
    bench_role role;
    char *name;    /* letters, digits, '.', '_', '-': the stem of its file of features */
    char *group;   /* "near", "far" or NULL; of BENCH_OOD */
    char *list;    /* published name of the list, or NULL */
    char *format;  /* --list-format that reads it, or NULL */
    char *sha256;  /* hex of the list, 16 to 64 digits from the start, or NULL */
    char *root;    /* folder that its paths are below, or NULL */
    size_t images; /* 0: not known */
    size_t line;   /* where it stands */
} bench_set;

typedef struct bench {
    char *path;
    char *name, *title;
    char *fpr95;  /* the convention of its papers: vim, mos, react, openood; or NULL */
    size_t n, room;
    bench_set *set; /* [n], in the order of the file */
} bench;

/* ERR_INPUT with file, line and rule; ERR_ENV when it cannot be read. */
int bench_read(bench **out, const char *path);
void bench_free(bench **b);
/* The word of a role: "val-ood". */
const char *bench_role_name(bench_role role);
/* The set of that role and name (NULL: the first of the role), or NULL. */
const bench_set *bench_find(const bench *b, bench_role role, const char *name);

#endif
