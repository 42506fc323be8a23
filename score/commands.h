/* The commands of `score`. */
#ifndef OUTPOST_COMMANDS_H
#define OUTPOST_COMMANDS_H

#include "common/args.h"

extern const command cmd_run;
extern const command cmd_fit;
extern const command cmd_methods;
extern const command cmd_sweep;
extern const command cmd_compare;
int score_version(FILE *f, int json);

#endif
