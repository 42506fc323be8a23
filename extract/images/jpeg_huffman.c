/* Huffman tables of a JPEG as look-ups (ITU-T T.81 annexes C, F.2.2 and G.2). */
#include "extract/images/jpeg_entropy.h"

#include <string.h>

/* Value of `bits` magnitude bits (T.81 F.2.2.1, EXTEND). */
static int extend(int v, int bits)
{
    return v < 1 << (bits - 1) ? v - (1 << bits) + 1 : v;
}

/* What follows a code of run and size: `tail` are the next `spare` bits.  0: does not fit. */
static uint32_t whole(jpeg_kind kind, int length, int run, int size, int tail, int spare)
{
    if (size > spare) return 0;
    if (size > 0)
        return (uint32_t)extend(tail >> (spare - size), size) << 16 | (uint32_t)run << 8 |
               (uint32_t)(length + size);
    if (kind == JPEG_DC) return (uint32_t)length;
    if (run == 15) return 0;
    if (kind == JPEG_AC) return (uint32_t)JPEG_EOB_RUN << 8 | (uint32_t)length;
    if (run > spare) return 0;
    return (uint32_t)((1 << run) - 1 + (tail >> (spare - run))) << 16 |
           (uint32_t)JPEG_EOB_RUN << 8 | (uint32_t)(length + run);
}

/* What the look-up says for all JPEG_LOOK-bit strings that begin with this code. */
static void fill_look(jpeg_huffman *t, jpeg_kind kind, int code, int length, int symbol)
{
    int run = kind == JPEG_DC ? 0 : symbol >> 4, size = kind == JPEG_DC ? symbol : symbol & 15;
    int spare = JPEG_LOOK - length;
    uint32_t slow = (uint32_t)symbol << 16 | JPEG_SLOW | (uint32_t)length;
    uint32_t *at = t->look + (code << spare);
    int read = size > 0 ? size : kind == JPEG_AC_PROGRESSIVE && run < 15 ? run : 0; /* bits behind it */
    int alike = read < spare ? spare - read : 0; /* and those that do not matter */
    for (int tail = 0; tail < 1 << spare; tail += 1 << alike) {
        uint32_t e = whole(kind, length, run, size, tail, spare);
        if (e == 0) e = slow;
        for (int i = 0; i < 1 << alike; i++)
            *at++ = e;
    }
}

void jpeg_huffman_set(jpeg_huffman *t, const uint8_t *counts, const uint8_t *symbols, int n)
{
    if (memcmp(t->counts, counts, 16) == 0 && memcmp(t->symbol, symbols, (size_t)n) == 0) return;
    memset(t->symbol, 0, sizeof t->symbol);
    memcpy(t->counts, counts, 16);
    memcpy(t->symbol, symbols, (size_t)n);
    t->made = 0;
}

int jpeg_huffman_make(jpeg_huffman *t, jpeg_kind kind)
{
    int code = 0, k = 0;
    if (t->made == (int)kind) return 1;
    t->made = 0;
    for (size_t i = 0; i < 1 << JPEG_LOOK; i++)
        t->look[i] = JPEG_SLOW;
    for (int length = 1; length <= 16; length++) {
        int count = t->counts[length - 1];
        t->offset[length] = k - code;
        t->max[length] = count > 0 ? code + count - 1 : -1;
        if (code + count >= 1 << length) return 0; /* the code of ones is reserved */
        for (int i = 0; i < count; i++, k++, code++) {
            if (kind == JPEG_DC && t->symbol[k] > 11)
                return 0; /* more than 8-bit data ever needs */
            if (length <= JPEG_LOOK) fill_look(t, kind, code, length, t->symbol[k]);
        }
        code <<= 1;
    }
    t->max[17] = INT32_MAX;
    t->made = (int)kind;
    return 1;
}
