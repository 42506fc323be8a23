/* The outcome of a run: what JSON, CSV and the tables are made of.
 * Everything is borrowed from the caller but what results_new allocates. */
#ifndef OUTPOST_RESULTS_H
#define OUTPOST_RESULTS_H

#include <stdio.h>

#include "score/method.h"
#include "score/metrics.h"
#include "score/table.h"
#include "score/uncertainty.h"

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
    size_t peak_bytes;            /* working memory that it took, beyond what was there */
    metrics *m;                   /* [n_ood] owned */
    interval *ci;                 /* [n_ood,METRIC_COUNT] owned; NaN where there is none */
    interval mean_ci[3];          /* of the mean AUROC over all, the near, the far sets */
} result_method;

typedef struct result_input {
    const char *role;   /* "train", "id", "ood", "csid", "val-id", "val-ood", "head", "labels", ... */
    const char *name;   /* of the set, or NULL */
    const char *path;
    const char *sha256; /* hex */
    size_t rows, left_out; /* rows used, and rows flagged bad in the file */
} result_input;

typedef struct results results;
struct results {
    const char *model; /* or NULL */
    const char *device; /* "cpu", "cuda:0 (NVIDIA H200)"; or NULL */
    size_t n_id, n_ood, n_methods, n_inputs;
    const result_set *ood;      /* [n_ood] */
    result_method *method;      /* [n_methods] owned */
    const result_input *input;  /* [n_inputs] */
    size_t correct, counted;    /* ID accuracy; counted 0: labels unknown */
    double seconds;
    const char *benchmark;      /* name of the file of --bench, or NULL */
    size_t bootstrap;           /* replicates, 0: none */
    uint64_t seed;
    /* The same with the csID sets joined to the ID set, or NULL; n_csid names of the joined sets. */
    const struct results *full;
    const char *const *csid;
    size_t n_csid;
};

/* Groups that means are made of: NULL is all sets. */
enum { RESULT_MEANS = 3 };
extern const char *const result_groups[RESULT_MEANS]; /* NULL, "near", "far" */

/* n_methods methods with room for n_ood metrics each. */
int results_init(results *r, size_t n_methods, size_t n_ood);
void results_clear(results *r);
/* Plain mean of a metric over the sets (of `group`, or all when NULL); NaN when there is none. */
double results_mean(const results *r, const result_method *m, const metric_field *f,
                    const char *group);

/* The table of methods that ran: a group of columns per set, then the means.  fields[0..n_fields);
 * with_ci: behind each metric that has intervals a column of half their width. */
typedef struct result_table {
    table t;
    const char **row, **group;
    table_column *column;
    double *value;
} result_table;
int results_table(result_table *out, const results *r, const metric_field *fields, size_t n_fields,
                  int with_ci);
void results_table_clear(result_table *t);

/* Design section 6, "outpost-results" version 1 (docs/results.md); fractions at full precision. */
int results_write_json(FILE *f, const results *r);
/* One line per method and set, RFC 4180, the shortest digits that read back equal. */
int results_write_csv(FILE *f, const results *r);

#endif
