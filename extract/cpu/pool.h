/* Threads that share one list of equal tasks; no barrier but the end of the list. */
#ifndef OUTPOST_POOL_H
#define OUTPOST_POOL_H

#include <stddef.h>

typedef struct pool pool;

int pool_new(pool **out, int threads);
void pool_free(pool **p);
/* task(context, worker, i) for i in [0,n), each once, worker in [0,threads); returns when all are
 * done.  The calling thread is worker 0. */
void pool_run(pool *p, size_t n, void (*task)(void *context, int worker, size_t i), void *context);

#endif
