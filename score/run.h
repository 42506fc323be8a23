/* The pieces of `score run` and `score sweep`: what was asked, what was read, what is written. */
#ifndef OUTPOST_RUN_H
#define OUTPOST_RUN_H

#include "common/args.h"
#include "common/bench.h"
#include "score/engine.h"
#include "score/results.h"

typedef struct run_config {
    const char *train, *id, *head, *labels, *id_labels, *val_id, *val_labels;
    args_strings ood, csid, val_ood, sets;
    const char *bench, *features;
    const char *methods, *near, *far, *conventions, *color, *device;
    const char *json, *csv, *markdown, *latex, *scores;
    size_t memory;
    int threads, stored_logits, force;
    int ci, bootstrap, seed, timing;
    int optional_test; /* sweep: no --id and --ood is allowed, validation sets are enough */
} run_config;

typedef struct run_set { /* one of several sets of a kind */
    char *name, *path; /* owned */
    const char *group; /* "near", "far" or NULL */
    source *s;
} run_set;

typedef struct run_sets {
    run_set *v;
    size_t n, room;
} run_sets;

typedef struct run_inputs {
    source *train;  /* or NULL */
    source *id;     /* NULL only with optional_test */
    source *val_id; /* or NULL */
    run_sets ood, csid, val_ood;
    const source **test;    /* [ood.n + csid.n] */
    const source **val;     /* [val_ood.n] */
    result_set *set;        /* [ood.n] for the results */
    const char **csid_name; /* [csid.n] */
    bench *bench;           /* or NULL */
    char *train_path, *id_path, *val_id_path; /* owned */
    head *head;             /* or NULL */
    const char *head_path;
    char model[128]; /* "" when unknown */
    result_input *input; /* [n_input], for the results */
    size_t n_input;
    char head_sha256[65], labels_sha256[65], id_labels_sha256[65], val_labels_sha256[65];
} run_inputs;

/* Which files: names, groups and paths from the options and the benchmark, before one is opened. */
int run_name_inputs(run_inputs *in, const run_config *c);
/* Rows and lists are those of the benchmark, or ERR_INPUT; with force a warning. */
int run_check_bench(const run_inputs *in, const run_config *c);
/* Opens everything that the options name and holds the files against each other. */
int run_inputs_open(run_inputs *in, const run_config *c);
void run_inputs_close(run_inputs *in);
/* What engine_run takes: ID, OOD and csID as its test sets. */
engine_options run_engine_options(const run_inputs *in, const run_config *c, struct linalg *la);
/* Test set i: 0 is the ID set, then the OOD sets, then the csID sets. */
size_t run_test_sets(const run_inputs *in);
const source *run_test_set(const run_inputs *in, size_t i, const char **name);

/* "gen", or "gen:gamma=0.5" when the method is there more than once; for the caller to free(). */
int run_label(char **label, const method_use *uses, size_t n_uses, size_t i);
/* Metrics of every method that ran; methods whose scores are not finite are marked skipped and
 * counted in *failed.  `full`: the csID sets count as ID.  The results borrow from uses and in. */
int run_evaluate(results *r, size_t *failed, const method_use *uses, size_t n_uses,
                 const engine_result *er, const run_inputs *in, const run_config *c, int full);

/* --conventions (or those of the benchmark) into the columns of the tables; fields and *n. */
enum { RUN_FIELDS_MAX = 8 };
int run_fields(metric_field fields[RUN_FIELDS_MAX], size_t *n, const char *conventions);
/* The output files can be written, and no two are one. */
int run_check_outputs(const run_config *c);
/* The table on standard output, unless one of the files is "-"; then the files. */
int run_write_outputs(const run_config *c, const results *r, const metric_field *fields,
                      size_t n_fields);

/* --scores: one row per image of all test sets, the ID set first, then OOD, then csID.
 *   /path, /set fixed UTF-8   /label, /prediction i64 (-1 unknown)   /scores/<method> f32 */
int scores_file_write(const char *path, const run_inputs *in, const method_use *uses, size_t n_uses,
                      const results *r, const int64_t *predictions);

#endif
