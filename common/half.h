/* IEEE 754 binary16 on disk. */
#ifndef OUTPOST_HALF_H
#define OUTPOST_HALF_H

#include <stddef.h>
#include <stdint.h>

/* Rounds to nearest, ties to even, as numpy's astype("f2") does: from 65520 on infinity, below 2^-14
 * subnormal; NaN stays NaN. */
uint16_t half_of(float x);
void half_from_floats(uint16_t *out, const float *in, size_t n);
/* Whether |x| has a finite half. */
static inline int half_fits(float x)
{
    return x < 65520.0f && x > -65520.0f;
}

#endif
