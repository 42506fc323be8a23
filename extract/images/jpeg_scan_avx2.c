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
#include "extract/images/jpeg_bits.h"

#include <immintrin.h>

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct block_tables {
    const jpeg_huffman *dc, *ac;
    const int16_t *quant;
} block_tables;

/* ---- the scan -------------------------------------------------------------------------------- */

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

JPEG_BMI static void mcus(scan_state *s, const jpeg_frame *f, int y, int from, int to, int store)
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

int jpeg_scan_decode(const jpeg_frame *f, const jpeg_tables *t, const jpeg_scan *scan,
                     const jpeg_range *r, uint8_t *clean)
{
    scan_state s;
    size_t n;
    const uint8_t *end;
    const uint8_t *marker = jpeg_unstuff(scan->data, scan->bytes, clean, &n);
    ptrdiff_t unused;
    if (marker == NULL || marker[1] != 0xd9) return 0;
    memset(&s, 0, sizeof s);
    end = clean + n;
    memset(clean + n, 0, JPEG_SCAN_PAD);
    for (int i = 0; i < f->n; i++)
        s.t[i] =
            (block_tables){&t->dc[scan->dc[i]], &t->ac[scan->ac[i]], f->quant[f->c[i].quant]};
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
