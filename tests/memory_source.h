/* Sets of rows that lie in memory: the functions of score/source.h over plain arrays, for programs
 * that test or time the engine without files.  Include it in one file of a program. */
#ifndef OUTPOST_MEMORY_SOURCE_H
#define OUTPOST_MEMORY_SOURCE_H

#include "score/source.h"

#include <string.h>

typedef struct memory_rows {
    const float *features, *logits;
    int copied; /* hand out copies, as a chunked file does */
} memory_rows;

int source_features(const source *s, size_t begin, size_t n, float *buffer, const float **v)
{
    const memory_rows *m = s->impl;
    *v = m->features + begin * s->d;
    if (!m->copied) return 0;
    memcpy(buffer, *v, n * s->d * sizeof *buffer);
    *v = buffer;
    return 0;
}

int source_logits(const source *s, size_t begin, size_t n, float *buffer, const float **v)
{
    const memory_rows *m = s->impl;
    *v = m->logits + begin * s->c;
    if (!m->copied) return 0;
    memcpy(buffer, *v, n * s->c * sizeof *buffer);
    *v = buffer;
    return 0;
}

void source_forget(const source *s, size_t begin, size_t n)
{
    (void)s;
    (void)begin;
    (void)n;
}

static inline source memory_source(const char *name, memory_rows *m, size_t n, size_t d, size_t c,
                                   const int64_t *labels)
{
    source s = {.name = name,
                .path = "memory",
                .n = n,
                .d = m->features != NULL ? d : 0,
                .c = m->logits != NULL ? c : 0,
                .labels = labels,
                .impl = m};
    return s;
}

#endif
