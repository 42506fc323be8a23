/* Fields of CSV files, RFC 4180. */
#ifndef OUTPOST_CSV_H
#define OUTPOST_CSV_H

#include <stdio.h>

/* A field, quoted when it has to be; control bytes of names are escaped first. */
void csv_text(FILE *f, const char *text);
/* The shortest digits that read back equal. */
void csv_number(FILE *f, double v);
/* The same behind a comma; nothing for NaN. */
void csv_value(FILE *f, double v);

#endif
