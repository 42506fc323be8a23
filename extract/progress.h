/* The progress of a run on stderr: a bar on a terminal, plain lines in a log, JSON for monitors. */
#ifndef OUTPOST_PROGRESS_H
#define OUTPOST_PROGRESS_H

#include <stddef.h>

typedef struct progress progress;

/* mode: auto, bar, plain, json, none (auto: bar on a terminal, else plain). */
int progress_open(progress **out, const char *mode, size_t total, size_t done);
/* rows done so far, bad ones among them, seconds the network waited for decoded images and seconds
 * it computed since the start: the larger share names the bottleneck. */
void progress_update(progress *p, size_t done, size_t bad, double waited, double computed);
/* The last line; leaves the terminal clean. */
void progress_close(progress **p);

#endif
