#include "score/stats/budget.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The size of a block is kept in the cache line before it. */
int budget_new(budget *b, void *out, size_t count, size_t size, const char *what)
{
    size_t bytes;
    char *p = NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return err_set(ERR_ENV, "%s: no memory for %zu x %zu bytes", what, count, size);
    bytes += MEM_ALIGN;
    if (b->limit > 0 && (b->used > b->limit || bytes > b->limit - b->used))
        return err_set(ERR_USAGE,
                       "%s needs %zu bytes more than --memory %zu allows; up to here %zuM would do",
                       what, b->used + bytes - b->limit, b->limit, ((b->used + bytes) >> 20) + 1);
    int rc = mem_new_aligned(&p, bytes, 1, what);
    if (rc < 0) return rc;
    memcpy(p, &bytes, sizeof bytes);
    b->used += bytes;
    if (b->used > b->peak) b->peak = b->used;
    if (b->used > b->high) b->high = b->used;
    p += MEM_ALIGN;
    memcpy(out, &p, sizeof p);
    return 0;
}

int budget_zeroed(budget *b, void *out, size_t count, size_t size, const char *what)
{
    void *p;
    int rc = budget_new(b, out, count, size, what);
    if (rc < 0) return rc;
    memcpy(&p, out, sizeof p);
    memset(p, 0, count * size);
    return 0;
}

void budget_free(budget *b, void *p)
{
    char *block;
    size_t bytes;
    memcpy(&block, p, sizeof block);
    if (block == NULL) return;
    block -= MEM_ALIGN;
    memcpy(&bytes, block, sizeof bytes);
    b->used -= bytes;
    free(block);
    block = NULL;
    memcpy(p, &block, sizeof block);
}

size_t budget_left(const budget *b)
{
    if (b->limit == 0) return SIZE_MAX;
    return b->used < b->limit ? b->limit - b->used : 0;
}
