/* Seeded draws: the same everywhere, and told in the options of the method that uses them. */
#ifndef OUTPOST_DRAW_H
#define OUTPOST_DRAW_H

#include <stddef.h>
#include <stdint.h>

typedef struct draw { /* splitmix64 */
    uint64_t state;
} draw;

draw draw_seeded(uint64_t seed);
uint64_t draw_bits(draw *r);
/* Uniform in 0..n-1, n > 0, without bias. */
uint64_t draw_below(draw *r, uint64_t n);
/* Standard normal (Marsaglia's polar method). */
double draw_normal(draw *r);
/* n of them, in pairs; the odd one is the first of its pair. */
void draw_normals(draw *r, double *out, size_t n);
/* `take` different numbers out of 0..n-1, ascending; out [take]. */
void draw_sample(uint64_t seed, size_t n, size_t take, size_t *out);

#endif
