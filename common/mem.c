#include "common/mem.h"
#include "common/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int mem_product(size_t *out, size_t a, size_t b, const char *what)
{
    if (__builtin_mul_overflow(a, b, out))
        return err_set(ERR_INPUT, "%s: size overflows (%zu x %zu)", what, a, b);
    return 0;
}

int mem_sum(size_t *out, size_t a, size_t b, const char *what)
{
    if (__builtin_add_overflow(a, b, out))
        return err_set(ERR_INPUT, "%s: size overflows (%zu + %zu)", what, a, b);
    return 0;
}

/* Pointers of all object types have one representation on the machines we build for; memcpy keeps
 * the store inside the aliasing rules. */
static void store(void *out, void *p)
{
    memcpy(out, &p, sizeof p);
}

int mem_new(void *out, size_t count, size_t size, const char *what)
{
    void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (p == NULL) return err_set(ERR_ENV, "%s: no memory for %zu x %zu bytes", what, count, size);
    store(out, p);
    return 0;
}

int mem_new_aligned(void *out, size_t count, size_t size, const char *what)
{
    size_t bytes, rounded;
    void *p;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)MEM_ALIGN, &rounded))
        return err_set(ERR_ENV, "%s: no memory for %zu x %zu bytes", what, count, size);
    rounded -= rounded % MEM_ALIGN;
    p = aligned_alloc(MEM_ALIGN, rounded);
    if (p == NULL) return err_set(ERR_ENV, "%s: no memory for %zu x %zu bytes", what, count, size);
    store(out, p);
    return 0;
}

int mem_strdup(char **out, const char *s)
{
    size_t n = strlen(s) + 1;
    int rc = mem_new(out, n, 1, "string");
    if (rc == 0) memcpy(*out, s, n);
    return rc;
}

int mem_grow(void *v, size_t *room, size_t need, size_t size, const char *what)
{
    void *old, *p;
    size_t bytes, want = *room < 16 ? 16 : *room + *room / 2;
    if (need <= *room) return 0;
    if (want < need) want = need;
    memcpy(&old, v, sizeof old);
    if (__builtin_mul_overflow(want, size, &bytes))
        return err_set(ERR_ENV, "%s: no memory for %zu x %zu bytes", what, want, size);
    p = realloc(old, bytes);
    if (p == NULL) return err_set(ERR_ENV, "%s: no memory for %zu x %zu bytes", what, want, size);
    store(v, p);
    *room = want;
    return 0;
}
