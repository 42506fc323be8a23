/* Tables of /probes for methods: which a set has, and their rows. */
#ifndef OUTPOST_TABLES_H
#define OUTPOST_TABLES_H

#include "score/stats/shared.h"

enum { TABLE_NAME = 200, TABLE_LAYERS = 400, LAYER_NAME = 96 };

/* /probes/NAME of a set, NULL when there is none. */
const source_table *table_at(const source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether it lacks /probes/`name`; then `why` says so, and that --probe `probe` makes it. */
int table_lacks(const source *s, const char *name, const char *probe, char *why, size_t room);
/* A number as names of tables have it: "0.0014". */
const char *table_number(double v, char buf[32]);

typedef struct table_layers { /* names of layers */
    char name[TABLE_LAYERS][LAYER_NAME];
    size_t n;
} table_layers;

/* LAYER of all tables `prefix`LAYER of a set, in the order of the file; without NAC's pieces and the means over
 * channels of `gap`. */
void table_take_layers(const source *s, const char *prefix, table_layers *out);
/* Words joined by '/'; 0 when there are too many or one is too long or empty. */
int table_split_layers(const char *text, table_layers *out);

/* Rows of a block of test rows: *v [n,width], finite, valid until the next block_work of `which`.
 * ERR_INPUT naming set and table when it is absent, or not `width` wide (0: any). */
int block_table(const score_block *b, int which, const char *name, size_t width, const float **v);
/* The same of rows [begin,begin+n) of any set into room of the caller's. */
int table_rows(const source *s, const char *name, size_t width, size_t begin, size_t n, float *buffer,
               const float **v);

#endif
