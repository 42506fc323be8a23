/* What the files of `extract run` share: extract/run_open.c, extract/cmd_run.c. */
#ifndef OUTPOST_RUN_STATE_H
#define OUTPOST_RUN_STATE_H

#include "extract/images/loader.h"
#include "extract/progress.h"
#include "extract/session.h"
#include "extract/shard.h"
#include "common/args.h"
#include "common/feature_file.h"
#include "common/list.h"

enum { UNDER_WAY = 2 * DEVICES_MAX }; /* batches */

typedef struct run_config {
    const char *model, *weights, *root, *list, *out, *device, *precision, *prep, *positions, *dump,
        *progress, *list_format, *shard, *decode, *scalar, *stats;
    args_strings taps, probes;
    int batch, threads, decoders, limit, force, max_bad, views, seed;
    double stop_after;
    args_strings words;
} run_config;

typedef struct run { /* everything of one run under way */
    const run_config *c;
    session s;
    shard part;
    char *path;       /* of the output: --out, or a shard's own */
    list *images;
    char *provenance;
    feature_dataset *datasets;
    feature_constant head[2];
    feature_spec spec; /* the writer borrows it */
    feature_writer *writer;
    loader *loader;
    loader_memory memory; /* of the backend, for batches */
    progress *progress;
    float **out;      /* [outputs] batch rows */
    void **stored;    /* [outputs] what is written: the same, or its own f16 rows */
    uint8_t *status;
    const char **reason;
    loader_batch *under_way[UNDER_WAY]; /* handed to the backend, oldest first */
    size_t n_under_way, depth;
    size_t first, rows; /* of the list: what this run extracts */
    size_t all;         /* rows of the list that all shards extract */
    size_t done, bad;
    double began, committed;
    progress_times spent;
} run;

/* Everything before the first image; nothing is written before all of it is in order.  FEATURE_COMPLETE: the
 * file is there, and nothing else is opened. */
int run_open(run *r, enum feature_state *state);
void run_close(run *r);

#endif
