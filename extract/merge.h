/* Shards of one list -> the file that one run would have written, to the byte. */
#ifndef OUTPOST_MERGE_H
#define OUTPOST_MERGE_H

#include "common/feature_file.h"

typedef struct merge { /* the opened shards, in list order */
    feature_file **f;     /* [n] */
    const char **path;    /* [n] */
    size_t n, rows;
    char *provenance;     /* of the whole */
    char **names;         /* [rows] paths */
    feature_dataset *datasets;
    size_t n_datasets;
    feature_constant head[2];
    feature_spec spec;    /* all of it, for the writer */
    char **owned, **made; /* memory of the names, and of how they came about */
    int64_t *labels;      /* [rows] */
    char *text;           /* what `names` point into */
} merge;

/* Verifies each file's digests; together they must be all shards of one run: same provenance but for the shard, each shard
 * once, row counts that fit.  ERR_INPUT says which file and what. */
int merge_open(merge *m, const char *const *paths, size_t n);
/* Copies the rows that the writer does not have yet.  ERR_INTERRUPTED after a signal, with all rows so far committed. */
int merge_copy(const merge *m, feature_writer *w, size_t done, const char *out);
void merge_clear(merge *m);

#endif
