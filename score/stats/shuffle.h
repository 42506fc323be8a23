/* The shuffle of numpy.random.RandomState(seed), which published lists of images were drawn with. */
#ifndef OUTPOST_SHUFFLE_H
#define OUTPOST_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>

/* Matsumoto and Nishimura 1998, seeded by one number. */
typedef struct mt19937 {
    uint32_t state[624];
    size_t at;
} mt19937;

void mt19937_seed(mt19937 *r, uint32_t seed);
uint32_t mt19937_next(mt19937 *r);
/* Fisher and Yates from the end, each draw below 2^k by masked rejection; n < 2^32. */
void legacy_shuffle(mt19937 *r, size_t *v, size_t n);

#endif
