/* Two columns of numbers and their differences. */
#ifndef OUTPOST_COMPARE_H
#define OUTPOST_COMPARE_H

#include <stdio.h>

#include "score/result_file.h"
#include "score/uncertainty.h"

typedef struct comparison_line { /* fractions; NaN: absent */
    const char *table;           /* of a published value, or NULL */
    const char *method, *set, *metric;
    double a, b;
    paired_test test; /* p NaN: none was made */
} comparison_line;

typedef struct comparison {
    const char *a, *b; /* titles of the columns */
    comparison_line *v;
    size_t n, room;
    size_t missing; /* values of one side that the other has not */
} comparison;

void comparison_clear(comparison *c);
/* Values of two results with the same method, set and metric; metrics: names joined by ',', or NULL for all. */
int compare_results(comparison *c, const result_values *a, const result_values *b, const char *metrics_wanted);
/* Ours beside published ones of a model (NULL: ours). */
int compare_published(comparison *c, const result_values *ours, const result_values *published,
                      const char *model);
/* DeLong's paired test of the AUROC of two methods on the sets of one file. */
int compare_methods(comparison *c, const scores *s, const char *a, const char *b);
/* Of each method that both files have; their images must be the same. */
int compare_scores(comparison *c, const scores *a, const scores *b);
/* Adds the tests to the AUROC lines of results that these scores belong to. */
int compare_add_tests(comparison *c, const scores *a, const scores *b);

int comparison_print(FILE *f, const comparison *c);
int comparison_write_csv(FILE *f, const comparison *c);

#endif
