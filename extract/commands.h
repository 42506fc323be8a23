/* The commands of extract: one file each, one line in main.c. */
#ifndef OUTPOST_COMMANDS_H
#define OUTPOST_COMMANDS_H

#include "common/args.h"

#include <stdio.h>

extern const command command_run, command_models, command_probes, command_inspect, command_check,
    command_merge, command_doctor, command_bench;

int extract_print_version(FILE *f, int json);

#endif
