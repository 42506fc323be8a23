/* A child process for code that may crash, hang or be taken over by its input. */
#ifndef OUTPOST_H5_SANDBOX_H
#define OUTPOST_H5_SANDBOX_H

#include <stddef.h>

typedef struct sandbox_limits {
    unsigned cpu_s;  /* seconds of processor time */
    unsigned wall_s; /* seconds of waiting */
    size_t memory;   /* bytes on top of what the parent has mapped */
} sandbox_limits;

/* Runs work(arg) in a forked child without files and rights; returns its code, its err_text
 * becoming this thread's.  What it computes must go into MAP_SHARED memory.  ERR_INPUT
 * "PATH: WHO crashed|did not come to an end ..." when the child dies or runs over a limit. */
int sandbox_run(int (*work)(void *arg), void *arg, const sandbox_limits *limits, const char *path,
                const char *who);
/* Held over fork, and by whoever calls the library in this process. */
void sandbox_lock(void);
void sandbox_unlock(void);

#endif
