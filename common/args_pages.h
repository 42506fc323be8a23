/* Manual pages and shell completion, from the tables that parse. */
#ifndef OUTPOST_ARGS_PAGES_H
#define OUTPOST_ARGS_PAGES_H

#include "common/args.h"

/* man(7) of a program (c NULL) or of one of its commands, under its installed name: outpost-extract-run(1). */
void args_print_man(FILE *f, const program *p, const command *c);
/* A bash function that completes commands, options, their listed values and files. */
void args_print_completion(FILE *f, const program *p);
/* The options that every command has, ended by name == NULL. */
extern const opt args_common_opts[];

#endif
