/* Bits and Huffman symbols of a JPEG scan, for the files that decode one; all of it inlined.
 * The reader keeps the next 8 bytes loaded ahead of need, so that a refill costs a shift and an OR.
 * Functions that use it carry JPEG_BMI: its shifts are the machine's shlx. */
#ifndef OUTPOST_JPEG_BITS_H
#define OUTPOST_JPEG_BITS_H

#include "extract/images/jpeg_entropy.h"

#include <string.h>

#define FAST static inline __attribute__((always_inline))
#define JPEG_BMI __attribute__((target("bmi,bmi2")))

/* Natural position of the k-th coefficient; what runs past the end goes to a place of its own. */
#define SPARE8 64, 64, 64, 64, 64, 64, 64, 64
#define SPARE64 SPARE8, SPARE8, SPARE8, SPARE8, SPARE8, SPARE8, SPARE8, SPARE8
static const uint8_t natural[64 + 2 * 64 + 16] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11,      4,       5,      12,
    19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21,      28,      35,     42,
    49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,      58,      59,     52,
    45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, SPARE64, SPARE64, SPARE8, SPARE8};

/* ---- the bit reader -------------------------------------------------------------------------- */

typedef struct bits {
    uint64_t hold;  /* next bit on top */
    uint64_t ahead; /* the 8 bytes at p, big-endian */
    unsigned n;     /* valid bits of hold */
    const uint8_t *p;
} bits;

FAST uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

/* At least 56 bits afterwards. */
FAST void refill(bits *b)
{
    b->hold |= b->ahead >> b->n;
    b->p += (63 - b->n) >> 3;
    b->n |= 56;
    b->ahead = load64(b->p);
}

/* n is the low six bits of `by`, which is how the machine's shift reads it. */
FAST void drop(bits *b, uint32_t by)
{
    b->hold <<= by & 63;
    b->n -= by & 63;
}

/* A symbol that is not in the look-up whole.  Needs 16 bits; -1: no such code. */
FAST int slow_symbol(bits *b, const jpeg_huffman *t, uint32_t e)
{
    unsigned length = e & 31;
    int32_t code;
    if (length != 0) {
        drop(b, length);
        return (int)(e >> 16);
    }
    length = JPEG_LOOK;
    do {
        length++;
        code = (int32_t)(b->hold >> (64 - length));
    } while (length < 17 && code > t->max[length]);
    if (length > 16) return -1;
    drop(b, length);
    return t->symbol[(code + t->offset[length]) & 255];
}

FAST int receive(bits *b, unsigned size)
{
    uint64_t v = b->hold >> (64 - size);
    int low = (int)(v >> (size - 1)) - 1; /* -1 where the top bit is 0 */
    drop(b, size);
    return (int)v + (low & (1 - (1 << size)));
}

/* Difference of a DC coefficient; *bad is set on a code that is none. */
FAST int dc_difference(bits *b, const jpeg_huffman *t, unsigned *bad)
{
    uint32_t e = t->look[b->hold >> (64 - JPEG_LOOK)];
    int size;
    if (__builtin_expect(!(e & JPEG_SLOW), 1)) {
        drop(b, e);
        return (int32_t)e >> 16;
    }
    size = slow_symbol(b, t, e);
    if (size <= 0) {
        *bad |= size < 0 ? ~0u : 0;
        return 0;
    }
    return receive(b, (unsigned)size);
}

/* AC coefficients of one block; store 0 only steps over them.  *bad is set where there is no
 * code or a run leads past the block's end. */
FAST void ac_coefficients(bits *b, const jpeg_huffman *ac, int16_t *block, int store, unsigned *bad)
{
    unsigned k = 1;
    int symbol;
    uint32_t e;
    do {
        refill(b);
/* Needs JPEG_LOOK bits: five of them live on one refill. */
#define DIRECT()                                                                                   \
    e = ac->look[b->hold >> (64 - JPEG_LOOK)];                                                     \
    if (__builtin_expect((e & JPEG_SLOW) != 0, 0)) goto slow;                                      \
    drop(b, e);                                                                                    \
    k += e >> 8 & 255;                                                                             \
    if (store) block[natural[k]] = (int16_t)(e >> 16);                                             \
    if (++k >= 64) break
        DIRECT();
        DIRECT();
        DIRECT();
        DIRECT();
        DIRECT();
        continue;
#undef DIRECT
    slow:
        refill(b);
        symbol = slow_symbol(b, ac, e);
        if (symbol < 0) {
            *bad = ~0u;
            return;
        }
        if ((symbol & 15) == 0) {
            if (symbol != 0xf0) return; /* end of block */
            k += 16;
            continue;
        }
        k += (unsigned)symbol >> 4;
        {
            int value = receive(b, (unsigned)symbol & 15);
            if (store) block[natural[k]] = (int16_t)value;
        }
        k++;
    } while (k < 64);
    if (k > 64 && k <= JPEG_EOB_RUN) *bad = ~0u;
}

#endif
