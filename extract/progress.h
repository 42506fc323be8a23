/* The progress of a run on stderr: a bar on a terminal, plain lines in a log, JSON for monitors. */
#ifndef OUTPOST_PROGRESS_H
#define OUTPOST_PROGRESS_H

#include <stddef.h>

typedef struct progress progress;

/* Seconds since the start that the loop of a run spent in each of its parts, all that it does. */
typedef struct progress_times {
    double waited;   /* for decoded images */
    double computed; /* handing batches to the network and waiting for their outputs */
    double written;  /* into the file, commits included */
} progress_times;

/* mode: auto, bar, plain, json, none (auto: bar on a terminal, else plain). */
int progress_open(progress **out, const char *mode, size_t total, size_t done);
/* Rows done so far, and bad ones among them. */
void progress_update(progress *p, size_t done, size_t bad, const progress_times *spent);
/* The side that is the slower one now: "decode", "network" (the CPU's or GPU's), "writer"; "-" before the
 * first batch.  Judged by the last ten seconds or so: what the start and older stretches were like fades.
 * The loop waits for images only when decode is behind, for the network it waits whenever that one is not
 * ahead; so a fifth of the time spent on waiting for images is enough to name decode. */
const char *progress_slower(const progress *p);
/* The last line; leaves the terminal clean. */
void progress_close(progress **p);

#endif
