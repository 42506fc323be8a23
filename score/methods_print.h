/* `score methods [NAME]`: the table of methods, or one of them in full. */
#ifndef OUTPOST_METHODS_PRINT_H
#define OUTPOST_METHODS_PRINT_H

#include <stdio.h>

/* name NULL: all methods, one line each.  json: an array of objects, or one object.  ERR_USAGE with
 * "did you mean" for an unknown name, ERR_ENV when f cannot be written. */
int methods_print(FILE *f, const char *name, int json);

#endif
