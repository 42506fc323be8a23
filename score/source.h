/* One set of cached rows as the methods see it, and the classifier head.
 * A source hides where rows come from (our HDF5, chunked HDF5, .pkl, .npy, .npz) and drops the rows
 * whose /status is not ok, so row i here is the i-th good row. */
#ifndef OUTPOST_SOURCE_H
#define OUTPOST_SOURCE_H

#include <stddef.h>
#include <stdint.h>

typedef struct head {
    size_t c, d;
    const float *w; /* [c,d] */
    const float *b; /* [c] */
} head;

/* A dataset below /probes: what `extract --probe` stored. */
typedef struct source_table {
    const char *name; /* below /probes: "odin/T=1000,eps=0.0014/logits" */
    size_t width;     /* values of a row: the product of its dimensions */
    int rank;         /* of a row */
    size_t dim[4];
    const void *impl;
} source_table;

typedef struct source {
    const char *name;      /* "train", "id", or the name of an OOD set */
    const char *path;      /* file, for messages */
    char sha256[65];       /* digest that identifies the input in results */
    size_t n;              /* good rows */
    size_t d;              /* width of a feature, 0 when there are none */
    size_t c;              /* width of stored logits, 0 when there are none */
    const int64_t *labels; /* [n] or NULL; -1 unknown */
    const source_table *tables; /* [n_tables] of /probes, in the order of the file */
    size_t n_tables;
    const char *provenance; /* JSON text or NULL */
    void *impl;
} source;

/* Rows [begin, begin+n) of the features [n,d] (or stored logits [n,c]).  *v points into the mapped
 * file when the rows are contiguous there, else into `buffer`, which has room for n rows. */
int source_features(const source *s, size_t begin, size_t n, float *buffer, const float **v);
int source_logits(const source *s, size_t begin, size_t n, float *buffer, const float **v);
/* The same of a table of /probes: [n,width]; in score/source_tables.c. */
int source_table_rows(const source *s, const source_table *t, size_t begin, size_t n, float *buffer,
                      const float **v);
/* The table of this name, NULL when there is none. */
const source_table *source_table_find(const source *s, const char *name);
/* These rows are not needed for now: lets the system drop their pages. */
void source_forget(const source *s, size_t begin, size_t n);

/* ---- opening ---------------------------------------------------------------------------------- */

/* Opens a file of cached features, told by its bytes: HDF5 (ours, or any with these root datasets),
 * .npz (`features` or OpenOOD's `feat_list`, `logits`, `labels` or `label_list`), or a single array
 * in .npy or in a numpy pickle (GEN, ViM).  Labels that the file holds come along.
 * ERR_INPUT with file and rule: no features and no logits, rows that do not agree, no good row. */
int source_open(source **out, const char *name, const char *path);
/* The same face on arrays of the caller, borrowed; for tests and tools.  features or logits, and
 * labels, may be NULL. */
int source_of_memory(source **out, const char *name, size_t n, size_t d, const float *features,
                     size_t c, const float *logits, const int64_t *labels);
void source_close(source **s);

/* Replaces the labels by those of `file`: an image list (GEN's: the text after the last blank), or
 * `labels` of an .h5 or .npz, or one array of integers in .npy or .pkl.  There is one label for
 * each row of the file of features, bad rows included; where both know the images' paths they must
 * agree unless `force`. */
int source_use_labels(source *s, const char *file, int force);
/* Every value of every good row is finite, or ERR_INPUT: how many rows are not, and the first.
 * `logits`: the stored logits are checked too. */
int source_check_finite(const source *s, int logits);
/* The labels known lie in 0..classes-1, or ERR_INPUT naming set and row. */
int source_check_labels(const source *s, size_t classes);
/* The two come from one model and one preprocessing, as far as their provenance tells, or ERR_INPUT
 * with the key that differs. */
int source_check_same_model(const source *a, const source *b);

/* The options with which `extract` ran a probe, as recorded: compact JSON with sorted keys into buf, "" when
 * unknown.  Several runs of one probe in a file are several objects of an array. */
void source_probe_options(const source *s, const char *probe, char *buf, size_t room);

size_t source_rows_of_file(const source *s);               /* good and bad */
size_t source_row_of_file(const source *s, size_t i);      /* where good row i lies in the file */
/* Path of good row i, from the file or from the list of labels; "" when unknown. */
const char *source_row_path(const source *s, size_t i, char *buf, size_t room);
const char *source_provenance(const source *s);            /* JSON text or NULL */
/* "model" of the provenance into buf, or NULL. */
const char *source_model(const source *s, char *buf, size_t room);

/* SHA-256 of the list that the rows were extracted from, hex, into sha256[65]; 0 when unknown. */
int source_list_sha256(const source *s, char sha256[65]);

/* The classifier's weight [c,d] and bias [c] as f32: from an HDF5 file (`head/weight`, `head/bias`),
 * from [w, b] in a pickle (GEN's fc.pkl), or by the usual names from .npz or a checkpoint. */
int head_open(head **out, const char *path);
/* The head stored beside the features; *out = NULL when the file holds none. */
int head_of_source(head **out, const source *s);
/* ERR_INPUT with both files and both shapes when the head does not fit. */
int head_check(const head *h, const char *path, const source *s);
/* ERR_INPUT unless equal to the bit. */
int head_check_equal(const head *a, const char *a_path, const head *b, const char *b_path);
void head_free(head **h);

#endif
