/* Source images of the resize tests: the generator of models.md 14.1. */
#ifndef OUTPOST_TEST_RESIZE_SOURCE_H
#define OUTPOST_TEST_RESIZE_SOURCE_H

#include "extract/images/resize.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The top byte of Z(s, i). */
static inline uint8_t z_top(const char *s, uint64_t i)
{
    uint64_t h = 14695981039346656037u;
    for (; *s != '\0'; s++)
        h = (h ^ (uint8_t)*s) * 1099511628211u;
    h += (i + 1) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return (uint8_t)((h ^ (h >> 31)) >> 56);
}

/* [h,w,3] and RESIZE_SLACK bytes; the caller's to free(). */
static inline uint8_t *source(int w, int h)
{
    size_t n = (size_t)w * (size_t)h * 3;
    uint8_t *p = malloc(n + RESIZE_SLACK);
    if (p == NULL) abort();
    for (size_t i = 0; i < n; i++)
        p[i] = z_top("image", i);
    memset(p + n, 0xa5, RESIZE_SLACK);
    return p;
}

static inline int upto(uint64_t *k, int n)
{
    *k += 2;
    return (z_top("choice", *k) * 256 + z_top("choice", *k + 1)) % n;
}

#endif
