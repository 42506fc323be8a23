/* What one input file holds, whatever its container: the inside of source.c, head.c and labels.c. */
#ifndef OUTPOST_INPUT_H
#define OUTPOST_INPUT_H

#include "common/arrays.h"
#include "common/feature_file.h"
#include "score/source.h"

typedef struct matrix { /* [rows,width]; data NULL: absent */
    array_type type;
    size_t rows, width;
    const void *data;
    const feature_table *table; /* of the feature file, NULL in other containers */
    const char *name;
} matrix;

typedef struct input {
    char *path;
    char sha256[65];
    feature_file *file; /* one of these two owns the data, none when it is the caller's */
    arrays *arrays;
    matrix features, logits, labels, weight, bias;
    source_table *tables; /* [n_tables] of /probes */
    size_t n_tables;
    const uint8_t *status; /* [rows] or NULL */
    size_t rows;           /* of features, logits, labels; 0 when only a head is there */
    const char *provenance;
} input;

/* Opens and sorts out the names; what is absent stays empty.  Rows of features, logits, labels and
 * status agree.  ERR_INPUT otherwise. */
int input_open(input **out, const char *path);
void input_close(input **in);
/* The two halves of input_open. */
int input_take_hdf5(input *in);
int input_take_arrays(input *in);
/* 1 when the bytes of the file are HDF5's, 0 when not; ERR_INPUT or ERR_ENV when it cannot be read. */
int input_is_hdf5(const char *path);
/* 1 when the file is HDF5 or a container of arrays, 0 when it may be a list. */
int input_is_binary(const char *path);

size_t matrix_row_bytes(const matrix *m);
/* Row `row` as f32 into dst [width]. */
void matrix_row(const matrix *m, size_t row, float *dst);
/* All integers as i64 [rows * width]; ERR_INPUT for floats that are none. */
int matrix_to_i64(const matrix *m, const char *path, int64_t *dst);

typedef struct rows { /* source.impl */
    input *in;
    uint32_t *keep;     /* [n] rows of the file that are good, NULL when all are */
    int64_t *labels;    /* [n] owned */
    char **paths;       /* [n] from the list of labels, or NULL */
    char *name, *path;
} rows;

#endif
