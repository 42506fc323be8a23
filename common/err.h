/* One way to fail.
 * A function that can fail returns int: 0, or a negative ERR_* code.  The message is written once,
 * where the failure is seen; only main prints it and exits.  Messages are per thread: the first one
 * since err_clear() wins, so that what a caller adds on the way out cannot hide the cause. */
#ifndef OUTPOST_ERR_H
#define OUTPOST_ERR_H

#include <stddef.h>

enum {
    ERR_INTERNAL = -1,    /* our own broken promise, or a library that failed      exit 1 */
    ERR_USAGE = -2,       /* command line or configuration                         exit 2 */
    ERR_BAD_IMAGES = -3,  /* finished, but more images unreadable than allowed     exit 3 */
    ERR_INPUT = -4,       /* an input file is refused: list, checkpoint, features  exit 4 */
    ERR_ENV = -5,         /* device absent, no space, I/O error, no memory         exit 5 */
    ERR_INTERRUPTED = -75 /* interrupted, committed, run again to go on            exit 75 */
};

/* Records code and message unless one is already recorded; returns code. */
int err_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The recorded message of this thread, "" when there is none.  Control bytes of names that came
 * from files are escaped as \xNN, so it is one printable line. */
const char *err_text(void);
void err_clear(void);
/* The exit status that stands for a code. */
int err_exit_status(int code);

#define TRY(call)                                                                                  \
    do {                                                                                           \
        rc = (call);                                                                               \
        if (rc < 0) goto done;                                                                     \
    } while (0)

#define CHECK(ok, code, ...)                                                                       \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            rc = err_set((code), __VA_ARGS__);                                                     \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
