/* A table of fractions, printed as percentages with two decimals: rows are methods, each group of
 * columns is an OOD set or a mean.  The best value of a column is set bold; values that print alike
 * are equally best.  NaN is absent and prints "-".  Names come from the command line: control bytes
 * are escaped, and what LaTeX and Markdown would read as markup. */
#ifndef OUTPOST_TABLE_H
#define OUTPOST_TABLE_H

#include <stddef.h>
#include <stdio.h>

typedef struct table_column {
    const char *title; /* "AUROC" */
    int larger_is_better;
    int plain; /* neither good nor bad: never bold, no arrow */
} table_column;

typedef struct table {
    const char *corner;          /* above the row names: "method" */
    size_t n_rows, n_groups, n_columns;
    const char *const *row;      /* [n_rows] */
    const char *const *group;    /* [n_groups] */
    const table_column *column;  /* [n_columns], the same in each group */
    const double *value;         /* [n_rows,n_groups,n_columns] fractions */
} table;

/* Aligned text in blocks of as many groups as fit into `width` columns, at least one. */
void table_print_text(FILE *f, const table *t, int width, int bold);
void table_print_markdown(FILE *f, const table *t);
/* A booktabs tabular. */
void table_print_latex(FILE *f, const table *t);

#endif
