/* Numbers to compare: from a JSON of `score run`, from a table of published values, from the scores of each image. */
#ifndef OUTPOST_RESULT_FILE_H
#define OUTPOST_RESULT_FILE_H

#include <stddef.h>

#include "score/metrics.h"

typedef struct result_value { /* one number, as a fraction */
    const char *table;        /* published tables only: which, and where it was read */
    const char *model, *method, *set, *metric, *source;
    const char *params;       /* of the method: JSON text of an object, or NULL */
    double value;
} result_value;

/* Sets: the OOD sets by name, "mean", "near mean", "far mean", all of them with "full " in front for the full
 * spectrum, and "id", "full id", whose metric is "accuracy" and whose method is "". */
typedef struct result_values {
    char *path;
    char *model; /* of a JSON, or NULL */
    size_t n, room;
    result_value *v;
    char **text; /* owned strings */
    size_t n_text, room_text;
} result_values;

/* "outpost-results" version 1.  ERR_INPUT with file and rule. */
int result_values_read_json(result_values *r, const char *path);
/* table,model,method,set,metric,value,source; values in percent.  ERR_INPUT with file, line and rule. */
int result_values_read_csv(result_values *r, const char *path);
void result_values_clear(result_values *r);

/* The file of a table of published numbers: a path, or a name in $OUTPOST_PUBLISHED or beside the
 * program (docs/published); for the caller to free().  ERR_USAGE with the names there are. */
int published_find(char **path, const char *name);
/* Names of sets and models that differ in case, punctuation or a plural s are one. */
int same_name(const char *a, const char *b);
/* Whether a published method ("vim:dim=256") is that of a row. */
int same_method(const result_value *published, const result_value *row);

/* Per-image scores, --scores of `score run`. */
typedef struct scores_set {
    char *name;
    size_t first, n;
} scores_set;

typedef struct scores {
    char *path;
    size_t n, n_sets, n_methods;
    scores_set *set;    /* [n_sets] in the order of the rows, "id" first */
    char **method;      /* [n_methods] */
    float **score;      /* [n_methods][n] */
    char *image;        /* [n,image_width] paths */
    size_t image_width;
} scores;

int scores_read(scores *s, const char *path);
void scores_clear(scores *s);
/* 1 when the file begins as HDF5, 0 when not; ERR_INPUT when it cannot be read. */
int result_file_is_hdf5(const char *path);

#endif
