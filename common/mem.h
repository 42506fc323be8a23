/* Checked sizes and aligned memory.
 * Products of sizes that come from files or options go through mem_product, which refuses overflow. */
#ifndef OUTPOST_MEM_H
#define OUTPOST_MEM_H

#include <stddef.h>

enum { MEM_ALIGN = 64 };

/* *out = a * b.  ERR_INPUT on overflow, naming `what`. */
int mem_product(size_t *out, size_t a, size_t b, const char *what);
/* *out = a + b, likewise. */
int mem_sum(size_t *out, size_t a, size_t b, const char *what);
/* count * size zeroed bytes for the caller to free(); ERR_ENV when there is no memory.
 * `out` is the address of any object pointer.  count 0 gives a non-NULL pointer. */
int mem_new(void *out, size_t count, size_t size, const char *what);
/* The same, MEM_ALIGN-aligned and not zeroed; also released by free(). */
int mem_new_aligned(void *out, size_t count, size_t size, const char *what);
/* A copy of a string, for the caller to free(). */
int mem_strdup(char **out, const char *s);
/* Grows *v (elements of `size` bytes) so that `need` of them fit; *room is the current capacity.
 * Growth is geometric.  `v` is the address of any object pointer. */
int mem_grow(void *v, size_t *room, size_t need, size_t size, const char *what);

#endif
