/* Working memory of score: counted, limited by --memory, released in any order. */
#ifndef OUTPOST_BUDGET_H
#define OUTPOST_BUDGET_H

#include <stddef.h>

typedef struct budget { /* struct: score/linalg_backend.h names it */
    size_t limit; /* 0: none */
    size_t used, peak;
    size_t high; /* the most since the caller set it to `used` */
} budget;

/* count * size bytes, MEM_ALIGN-aligned and not zeroed.  `out` is the address of any object pointer.
 * ERR_USAGE naming `what` and the memory that would have done so far when the limit is passed. */
int budget_new(budget *b, void *out, size_t count, size_t size, const char *what);
/* Zeroed. */
int budget_zeroed(budget *b, void *out, size_t count, size_t size, const char *what);
/* Releases *p (the address of any object pointer) and leaves NULL. */
void budget_free(budget *b, void *p);
/* Bytes still free below the limit; SIZE_MAX without one. */
size_t budget_left(const budget *b);

#endif
