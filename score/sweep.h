/* Hyperparameter search on validation sets: a grid of settings, all scored in one pass, the best by
 * validation AUROC, and what each gives on the test sets beside it. */
#ifndef OUTPOST_SWEEP_H
#define OUTPOST_SWEEP_H

#include <stdio.h>

#include "score/run.h"

enum { SWEEP_POINTS_MAX = 100000 };

typedef struct grid_key {
    char *name;   /* owned */
    char **value; /* [n] owned */
    size_t n, room;
} grid_key;

typedef struct grid { /* the first key varies fastest */
    grid_key *key;
    size_t n, room, points;
} grid;

/* Adds "KEY=V1,V2,.." or "KEY=A:B:STEP" (both ends, A <= B, or downwards with a negative STEP).
 * ERR_USAGE: no values, a key or a value twice, too many points. */
int grid_add(grid *g, const char *text);
/* The published grid of a method, from the table of presets.  ERR_USAGE when there is none. */
int grid_add_preset(grid *g, const char *preset, const char *name);
void grid_clear(grid *g);
/* Value of key k at a point. */
const char *grid_value(const grid *g, size_t point, size_t k);
/* Uses of one method ("gen", "gen:m=10") at points [first, first+n) of the grid, for engine_free_uses. */
int grid_uses(const grid *g, const char *name, size_t first, size_t n, const char *const *sets,
              size_t n_sets, method_use **uses);

typedef struct preset { /* one key of a published grid */
    const char *preset, *method, *key, *values;
} preset;
extern const preset presets[]; /* ended by preset == NULL; the keys of a method in their order */

typedef struct sweep_point {
    metrics val;     /* means over the validation sets */
    metrics *test;   /* [n_ood] owned; NULL without test sets */
    double seconds;
    char *failed;    /* owned: why there are no metrics; NULL when there are */
} sweep_point;

typedef struct sweep {
    grid g;
    sweep_point *point; /* [g.points] */
    size_t best;        /* the first of the largest validation AUROC */
    size_t n_failed;
    const run_inputs *in;
    method_use *chosen; /* the setting of `best`, its scores kept; 1 + n_ood + n_csid test sets */
} sweep;

/* Runs the grid s->g of a method on the sets of s->in, which has val_id and at least one val_ood.
 * `kept`: predictions of the test sets, for run_evaluate with s->chosen.  ERR_USAGE when no point could be run. */
int sweep_run(sweep *s, const char *name, const run_config *c, struct linalg *la, engine_result *kept);
void sweep_clear(sweep *s);
/* The whole grid: one line for each point. */
int sweep_write_csv(FILE *f, const sweep *s);

#endif
