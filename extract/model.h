/* A network: a declaration that builds a graph once, and what belongs to it. */
#ifndef OUTPOST_MODEL_H
#define OUTPOST_MODEL_H

#include "extract/graph.h"
#include "extract/images/preprocess.h"
#include "extract/layout.h"

typedef struct model {
    const char *name;        /* "resnet50": the -m of the command line */
    const char *about;       /* one line */
    const char *paper;
    const char *layouts;     /* which checkpoints it reads, in words */
    void (*build)(graph *g, const struct model *m, int classes);
    const void *cfg;         /* the family's own table entry */
    prep_native prep;        /* input size, own preprocessing, statistics */
    const char *classifier;  /* layer whose weight's first dimension is the number of classes */
    int classes;             /* when no checkpoint tells */
    const layout *key_layouts; /* of published files, the native one first, ended by name == NULL;
                                NULL: one with the graph's own names, called as `layouts` begins */
    int variant;             /* set on what build() sees: the chosen layout's; 0 in the table */
} model;

extern const model *const models[]; /* NULL-terminated: extract/models/models.c */

/* NULL when there is none; args_nearest over the table is the caller's. */
const model *model_find(const char *name);
/* Builds and checks the graph of `m` in its usual form. */
int model_build(graph **out, const model *m, int classes);
/* For side x side input and in the given variant: build() sees a copy of m with these two. */
int model_build_as(graph **out, const model *m, int classes, int side, int variant);

#endif
