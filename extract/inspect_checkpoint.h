#ifndef OUTPOST_INSPECT_CHECKPOINT_H
#define OUTPOST_INSPECT_CHECKPOINT_H

#include <stdio.h>

/* What a checkpoint holds: container, wrapper, prefix, the network it fits, digest, every tensor. */
int inspect_checkpoint(FILE *f, const char *path, int json);

#endif
