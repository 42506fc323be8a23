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

typedef struct source {
    const char *name;      /* "train", "id", or the name of an OOD set */
    const char *path;      /* file, for messages */
    char sha256[65];       /* digest that identifies the input in results */
    size_t n;              /* good rows */
    size_t d;              /* width of a feature, 0 when there are none */
    size_t c;              /* width of stored logits, 0 when there are none */
    const int64_t *labels; /* [n] or NULL; -1 unknown */
    void *impl;
} source;

/* Rows [begin, begin+n) of the features [n,d] (or stored logits [n,c]).  *v points into the mapped
 * file when the rows are contiguous there, else into `buffer`, which has room for n rows. */
int source_features(const source *s, size_t begin, size_t n, float *buffer, const float **v);
int source_logits(const source *s, size_t begin, size_t n, float *buffer, const float **v);
/* These rows are not needed for now: lets the system drop their pages. */
void source_forget(const source *s, size_t begin, size_t n);

#endif
