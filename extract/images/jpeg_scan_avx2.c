/* Baseline Huffman decoding (ITU-T T.81 annex F.2), as fast as its chain of dependent steps allows.
 *
 * The scan is first copied without its stuffed zero bytes; that finds its end and lets the bit
 * reader load 8 bytes at a time without looking.  The reader keeps the next 8 bytes loaded ahead of
 * need, so that a refill costs a shift and an OR.  One look-up of JPEG_LOOK bits gives run, value
 * and length together for nearly all symbols.
 *
 * libjpeg forgives much; a file that needs forgiving is given up here (return 0). */
#include "extract/images/jpeg_scan.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

#define FAST static inline __attribute__((always_inline))
#define BMI __attribute__((target("bmi,bmi2")))

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

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct block_tables {
    const jpeg_huffman *dc, *ac;
    const int16_t *quant;
} block_tables;

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

/* ---- the scan -------------------------------------------------------------------------------- */

/* Copies up to the first marker, without the zeros stuffed behind each ff.  *bytes of it;
 * the marker's code, or -1 when the file ends first. */
static int unstuff(const uint8_t *s, size_t n, uint8_t *out, size_t *bytes)
{
    const uint8_t *end = s + n;
    const __m256i ff = _mm256_set1_epi8((char)0xff);
    uint8_t *o = out;
    while (end - s >= 34) {
        __m256i v = _mm256_loadu_si256((const __m256i *)s);
        unsigned mask = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, ff));
        unsigned k;
        _mm256_storeu_si256((__m256i *)o, v);
        if (mask == 0) {
            s += 32;
            o += 32;
            continue;
        }
        k = (unsigned)__builtin_ctz(mask);
        if (s[k + 1] != 0) {
            *bytes = (size_t)(o - out) + k;
            return s[k + 1];
        }
        s += k + 2;
        o += k + 1;
    }
    *bytes = (size_t)(o - out);
    for (; s < end; s++) {
        if (*s == 0xff) {
            if (end - s < 2) return -1;
            if (s[1] != 0) return s[1];
            out[(*bytes)++] = *s++;
            continue;
        }
        out[(*bytes)++] = *s;
    }
    return -1;
}

/* Blocks wait for the inverse DCT in two batches that take turns: a batch is transformed when the
 * other is full, so that its last coefficients have long reached the cache. */
typedef struct waiting {
    jpeg_batch batch[2];
    int filling;
    void (*idct)(jpeg_batch *, unsigned *);
} waiting;

static void finish(waiting *w, jpeg_batch *q, unsigned *bad)
{
    uint8_t spare[64];
    if (q->n == 0) return;
    for (int i = q->n; i < JPEG_BATCH; i++) { /* blocks of nothing go nowhere */
        q->dst[i] = spare;
        q->stride[i] = 8;
        q->quant[i] = q->quant[0];
    }
    w->idct(q, bad);
    q->n = 0;
}

static void turn(waiting *w, unsigned *bad)
{
    w->filling ^= 1;
    finish(w, &w->batch[w->filling], bad);
}

/* One block of component c at block column x, row y. */
FAST void one_block(bits *b, const block_tables *t, int *dc, int store, waiting *q,
                    const jpeg_component *c, int x, int y, unsigned *bad)
{
    refill(b);
    *dc += dc_difference(b, t->dc, bad);
    *bad |= (unsigned)(*dc + 32768) & ~65535u; /* libjpeg keeps 16 bits of it */
    if (store) {
        jpeg_batch *to = &q->batch[q->filling];
        int16_t *block = to->block[to->n].v;
        block[0] = (int16_t)*dc;
        ac_coefficients(b, t->ac, block, 1, bad);
        to->dst[to->n] = c->plane + ((size_t)y * c->stride + (size_t)x) * 8;
        to->stride[to->n] = c->stride;
        to->quant[to->n] = t->quant;
        if (++to->n == JPEG_BATCH) turn(q, bad);
    } else {
        ac_coefficients(b, t->ac, NULL, 0, bad);
    }
}

typedef struct scan_state {
    bits b;
    block_tables t[3];
    int dc[3];
    unsigned bad; /* not 0: give up */
    waiting q;
} scan_state;

BMI static void mcus(scan_state *s, const jpeg_frame *f, int y, int from, int to, int store)
{
    bits b = s->b;
    unsigned bad = s->bad;
    for (int x = from; x < to; x++)
        for (int i = 0; i < f->n; i++) {
            const jpeg_component *c = &f->c[i];
            for (int v = 0; v < c->v; v++)
                for (int h = 0; h < c->h; h++) {
                    if (store)
                        one_block(&b, &s->t[i], &s->dc[i], 1, &s->q, c, x * c->h + h, y * c->v + v,
                                  &bad);
                    else one_block(&b, &s->t[i], &s->dc[i], 0, &s->q, c, 0, 0, &bad);
                }
        }
    s->b = b;
    s->bad = bad;
}

/* Damaged data may run ahead of the scan: looked at after every few MCUs, within the zeros
 * behind. */
static int in_bounds(const scan_state *s, const uint8_t *end)
{
    return s->b.p <= end + 8 && s->bad == 0;
}

enum { MCUS_AT_ONCE = 8 }; /* each at most 6 blocks of 252 bytes: within JPEG_SCAN_PAD */

static int row_part(scan_state *s, const jpeg_frame *f, int y, int from, int to, int store,
                    const uint8_t *end)
{
    for (int x = from; x < to; x += MCUS_AT_ONCE) {
        mcus(s, f, y, x, x + MCUS_AT_ONCE < to ? x + MCUS_AT_ONCE : to, store);
        if (!in_bounds(s, end)) return 0;
    }
    return 1;
}

int jpeg_scan_decode(const jpeg_frame *f, const jpeg_tables *t, const jpeg_range *r, uint8_t *clean)
{
    scan_state s;
    size_t n;
    const uint8_t *end;
    ptrdiff_t unused;
    memset(&s, 0, sizeof s);
    if (unstuff(f->scan, f->scan_bytes, clean, &n) != 0xd9) return 0;
    end = clean + n;
    memset(clean + n, 0, JPEG_SCAN_PAD);
    for (int i = 0; i < f->n; i++)
        s.t[i] = (block_tables){&t->dc[f->c[i].dc], &t->ac[f->c[i].ac], f->quant[f->c[i].quant]};
    s.q.idct = __builtin_cpu_supports("avx512bw") ? jpeg_idct_avx512 : jpeg_idct_avx2;
    s.b.p = clean;
    s.b.ahead = load64(clean);
    for (int y = 0; y < f->mcus_y; y++) {
        int inside = y >= r->y0 && y < r->y1;
        int x0 = inside ? r->x0 : f->mcus_x, x1 = inside ? r->x1 : f->mcus_x;
        if (!row_part(&s, f, y, 0, x0, 0, end) || !row_part(&s, f, y, x0, x1, 1, end) ||
            !row_part(&s, f, y, x1, f->mcus_x, 0, end))
            return 0;
    }
    turn(&s.q, &s.bad);
    turn(&s.q, &s.bad);
    unused = (end - s.b.p) * 8 + (ptrdiff_t)s.b.n;
    return s.bad == 0 && unused >= 0 && unused < 8;
}
#endif
