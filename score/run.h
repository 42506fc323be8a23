/* The pieces of `score run`: what it was asked, what it read, what it writes. */
#ifndef OUTPOST_RUN_H
#define OUTPOST_RUN_H

#include "common/args.h"
#include "score/engine.h"
#include "score/results.h"

typedef struct run_config {
    const char *train, *id, *head, *labels, *id_labels;
    args_strings ood, sets;
    const char *methods, *near, *far, *conventions, *color, *device;
    const char *json, *csv, *markdown, *latex, *scores;
    size_t memory;
    int threads, stored_logits, force;
} run_config;

typedef struct run_inputs {
    source *train;      /* or NULL */
    source *id;
    source **ood;       /* [n_ood] */
    size_t n_ood;
    result_set *set;    /* [n_ood] names, groups, sizes */
    char **name;        /* [n_ood] owned names of the sets */
    head *head;         /* or NULL */
    const char *head_path;
    char model[128];    /* "" when unknown */
    result_input *input; /* [n_input], for the results */
    size_t n_input;
    char head_sha256[65], labels_sha256[65], id_labels_sha256[65];
} run_inputs;

/* Opens everything that the options name and holds the files against each other. */
int run_inputs_open(run_inputs *in, const run_config *c);
void run_inputs_close(run_inputs *in);

/* Metrics of every method that ran; methods whose scores are not finite are marked skipped and
 * counted in *failed.  The results borrow from uses and in. */
int run_evaluate(results *r, size_t *failed, const method_use *uses, size_t n_uses,
                 const engine_result *er, const run_inputs *in);

/* --conventions into the columns of the tables; fields and *n. */
enum { RUN_FIELDS_MAX = 8 };
int run_fields(metric_field fields[RUN_FIELDS_MAX], size_t *n, const char *conventions);
/* The output files can be written, and no two are one. */
int run_check_outputs(const run_config *c);
/* The table on standard output, unless one of the files is "-"; then the files. */
int run_write_outputs(const run_config *c, const results *r, const metric_field *fields,
                      size_t n_fields);

/* --scores: one row per image of all sets, the ID set first.
 *   /path, /set fixed UTF-8   /label, /prediction i64 (-1 unknown)   /scores/<method> f32 */
int scores_file_write(const char *path, const run_inputs *in, const method_use *uses, size_t n_uses,
                      const results *r, const int64_t *predictions);

#endif
