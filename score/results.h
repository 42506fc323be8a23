/* The outcome of a run: what JSON, CSV and the tables are made of.
 * Everything is borrowed from the caller but what results_new allocates. */
#ifndef OUTPOST_RESULTS_H
#define OUTPOST_RESULTS_H

#include <stdio.h>

#include "score/method.h"
#include "score/metrics.h"
#include "score/table.h"

typedef struct result_set { /* one OOD set */
    const char *name;
    const char *group; /* "near", "far", or NULL */
    size_t n;
} result_set;

typedef struct result_method {
    const char *name;             /* "vim" */
    char *label;                  /* owned: name, with options where it is there more than once */
    const char *title;            /* "ViM" */
    const method_params *params;  /* may be NULL */
    char *skipped;                /* owned: why there are no metrics, NULL when there are */
    double fit_seconds, score_seconds;
    metrics *m;                   /* [n_ood] owned */
} result_method;

typedef struct result_input {
    const char *role;   /* "train", "id", "ood", "head", "labels" */
    const char *name;   /* of the set, or NULL */
    const char *path;
    const char *sha256; /* hex */
    size_t rows, left_out; /* rows used, and rows flagged bad in the file */
} result_input;

typedef struct results {
    const char *model; /* or NULL */
    const char *device; /* "cpu", "cuda:0 (NVIDIA H200)"; or NULL */
    size_t n_id, n_ood, n_methods, n_inputs;
    const result_set *ood;      /* [n_ood] */
    result_method *method;      /* [n_methods] owned */
    const result_input *input;  /* [n_inputs] */
    size_t correct, counted;    /* ID accuracy; counted 0: labels unknown */
    double seconds;
} results;

/* n_methods methods with room for n_ood metrics each. */
int results_init(results *r, size_t n_methods, size_t n_ood);
void results_clear(results *r);
/* Plain mean of a metric over the sets (of `group`, or all when NULL); NaN when there is none. */
double results_mean(const results *r, const result_method *m, const metric_field *f,
                    const char *group);

/* The table of methods that ran: a group of columns per set, then the means.  fields[0..n_fields). */
typedef struct result_table {
    table t;
    const char **row, **group;
    table_column *column;
    double *value;
} result_table;
int results_table(result_table *out, const results *r, const metric_field *fields, size_t n_fields);
void results_table_clear(result_table *t);

/* Design section 6, "outpost-results" version 1 (docs/results.md); fractions at full precision. */
int results_write_json(FILE *f, const results *r);
/* One line per method and set, RFC 4180, the shortest digits that read back equal. */
int results_write_csv(FILE *f, const results *r);

#endif
