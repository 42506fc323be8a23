/* Scans of a JPEG into coefficients: sequential (T.81 F.2.2) and progressive (G.2), interval by
 * interval.  Each interval is copied without its stuffed zeros, which finds its end, and must end
 * within its last byte.  Pixels are made elsewhere. */
#include "extract/images/jpeg_entropy.h"
#include "extract/images/jpeg_lanes.h"

#if defined(__AVX2__)
#include "extract/images/jpeg_bits.h"

#include <immintrin.h>

const uint8_t *jpeg_unstuff(const uint8_t *s, size_t n, uint8_t *out, size_t *bytes)
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
            return s + k;
        }
        s += k + 2;
        o += k + 1;
    }
    *bytes = (size_t)(o - out);
    for (; s < end; s++) {
        if (*s == 0xff) {
            if (end - s < 2) return NULL;
            if (s[1] != 0) return s;
            out[(*bytes)++] = *s++;
            continue;
        }
        out[(*bytes)++] = *s;
    }
    return NULL;
}

/* ---- one block of each kind of scan ---------------------------------------------------------- */

/* Where the blocks of one MCU are; they move `step` int16_t's to the right for the next MCU. */
typedef struct slot {
    int16_t *at;
    size_t step;
    const jpeg_huffman *dc, *ac;
    int *last_dc;
} slot;

typedef struct state {
    bits b;
    slot slot[10];
    int slots, last_dc[JPEG_COMPONENTS];
    unsigned bad;    /* not 0: give up */
    unsigned eobrun; /* further blocks whose band has ended */
    int ss, se, al;
} state;

FAST void sequential(state *s, bits *b, const slot *t, unsigned *bad)
{
    refill(b);
    *t->last_dc += dc_difference(b, t->dc, bad);
    *bad |= (unsigned)(*t->last_dc + 32768) & ~65535u; /* libjpeg keeps 16 bits of it */
    (void)s;
    memset(t->at, 0, 128);
    t->at[0] = (int16_t)*t->last_dc;
    /* What belongs nowhere is a zero, and lands where a block begins that is not read yet. */
    ac_coefficients(b, t->ac, t->at, 1, bad);
}

FAST void dc_first(state *s, bits *b, const slot *t, unsigned *bad)
{
    int v;
    refill(b);
    *t->last_dc += dc_difference(b, t->dc, bad);
    *bad |= (unsigned)(*t->last_dc + 32768) & ~65535u;
    v = (int)((unsigned)*t->last_dc << s->al);
    *bad |= (unsigned)(v + 32768) & ~65535u;
    t->at[0] = (int16_t)v;
}

FAST unsigned one_bit(bits *b)
{
    unsigned v;
    if (b->n == 0) refill(b);
    v = (unsigned)(b->hold >> 63);
    drop(b, 1);
    return v;
}

FAST void dc_more(state *s, bits *b, const slot *t, unsigned *bad)
{
    (void)bad;
    t->at[0] = (int16_t)((unsigned)t->at[0] | one_bit(b) << s->al);
}

/* A symbol of a progressive AC scan: value after a run of zeros; run JPEG_EOB_RUN: the band has
 * ended here and in `value` further blocks; a run of 15 without a value has value 0. */
typedef struct step {
    unsigned run;
    int value;
} step;

/* At least 25 bits afterwards. */
FAST step next_step(bits *b, const jpeg_huffman *t, unsigned *bad)
{
    uint32_t e;
    int symbol, size;
    step s;
    refill(b);
    e = t->look[b->hold >> (64 - JPEG_LOOK)];
    if (__builtin_expect(!(e & JPEG_SLOW), 1)) {
        drop(b, e);
        return (step){e >> 8 & 255, (int32_t)e >> 16};
    }
    symbol = slow_symbol(b, t, e);
    if (symbol < 0) {
        *bad = ~0u;
        return (step){JPEG_EOB_RUN, 0};
    }
    s.run = (unsigned)symbol >> 4;
    size = symbol & 15;
    s.value = 0;
    if (size > 0) {
        s.value = receive(b, (unsigned)size);
    } else if (s.run < 15) {
        s.value = (1 << s.run) - 1;
        if (s.run > 0) {
            s.value += (int)(b->hold >> (64 - s.run));
            drop(b, s.run);
        }
        s.run = JPEG_EOB_RUN;
    }
    return s;
}

FAST void ac_first(state *s, bits *b, const slot *t, unsigned *bad)
{
    unsigned k = (unsigned)s->ss, se = (unsigned)s->se;
    if (s->eobrun > 0) {
        s->eobrun--;
        return;
    }
    while (k <= se) {
        step q = next_step(b, t->ac, bad);
        if (q.run == JPEG_EOB_RUN) {
            s->eobrun = (unsigned)q.value;
            return;
        }
        k += q.run;
        if (k > se) {
            *bad = ~0u;
            return;
        }
        t->at[natural[k]] = (int16_t)((unsigned)q.value << s->al);
        k++;
    }
}

/* The next bit of a coefficient that is not 0. */
FAST void correct(bits *b, int16_t *c, int one)
{
    int more = *c < 0 ? -one : one;
    *c = (int16_t)(*c + (more & -(int)one_bit(b)));
}

FAST int no_ac(const int16_t *block)
{
    const __m256i not_dc =
        _mm256_setr_epi16(0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i *v = (const __m256i *)(const void *)block;
    __m256i some = _mm256_or_si256(
        _mm256_or_si256(_mm256_and_si256(_mm256_loadu_si256(v), not_dc), _mm256_loadu_si256(v + 1)),
        _mm256_or_si256(_mm256_loadu_si256(v + 2), _mm256_loadu_si256(v + 3)));
    return _mm256_testz_si256(some, some);
}

FAST void ac_more(state *s, bits *b, const slot *t, unsigned *bad)
{
    int k = s->ss, se = s->se, one = 1 << s->al;
    while (s->eobrun == 0 && k <= se) {
        step q = next_step(b, t->ac, bad);
        int left = (int)q.run;
        if (q.run == JPEG_EOB_RUN) {
            s->eobrun = (unsigned)q.value + 1;
            break;
        }
        for (; k <= se; k++) { /* over `left` zeros, to the next */
            int16_t *c = t->at + natural[k];
            if (*c != 0) correct(b, c, one);
            else if (--left < 0) break;
        }
        if (k > se || q.value > 1 || q.value < -1) {
            *bad = ~0u;
            return;
        }
        t->at[natural[k]] = (int16_t)(q.value * one);
        k++;
    }
    if (s->eobrun == 0) return;
    s->eobrun--;
    if (no_ac(t->at)) return;
    for (; k <= se; k++)
        if (t->at[natural[k]] != 0) correct(b, t->at + natural[k], one);
}

/* ---- MCUs of an interval --------------------------------------------------------------------- */

/* Damaged data may run ahead of the interval: looked at after each MCU, within the zeros behind. */
#define RUN(kind)                                                                                  \
    JPEG_BMI static int run_##kind(state *s, int count, const uint8_t *end)                        \
    {                                                                                              \
        bits b = s->b;                                                                             \
        unsigned bad = s->bad;                                                                     \
        for (int x = 0; x < count; x++) {                                                          \
            for (int i = 0; i < s->slots; i++) {                                                   \
                kind(s, &b, &s->slot[i], &bad);                                                    \
                s->slot[i].at += s->slot[i].step;                                                  \
            }                                                                                      \
            if (b.p > end + 8 || bad != 0) return 0;                                               \
        }                                                                                          \
        s->b = b;                                                                                  \
        s->bad = bad;                                                                              \
        return 1;                                                                                  \
    }
RUN(sequential)
RUN(dc_first)
RUN(dc_more)
RUN(ac_first)
RUN(ac_more)

typedef int run(state *s, int count, const uint8_t *end);

static run *run_of(const jpeg_frame *f, const jpeg_scan *s)
{
    if (!f->progressive) return run_sequential;
    if (s->ss == 0) return s->ah == 0 ? run_dc_first : run_dc_more;
    return s->ah == 0 ? run_ac_first : run_ac_more;
}

/* Places the slots at MCU x, y of the scan. */
static void aim(state *s, const jpeg_reader *r, const jpeg_scan *scan, int x, int y)
{
    s->slots = 0;
    for (int i = 0; i < scan->n; i++) {
        const jpeg_component *c = &r->f->c[scan->c[i]];
        int h = scan->n == 1 ? 1 : c->h, v = scan->n == 1 ? 1 : c->v;
        for (int k = 0; k < h * v; k++) {
            size_t row = (size_t)(y * v + k / h), column = (size_t)(x * h + k % h);
            s->slot[s->slots++] =
                (slot){c->block + (row * c->across + column) * 64, (size_t)h * 64,
                       &r->t->dc[scan->dc[i]], &r->t->ac[scan->ac[i]], &s->last_dc[i]};
        }
    }
}

/* MCUs from `first` on, `count` of them, `wide` in a row. */
static int interval(state *s, run *go, const jpeg_reader *r, const jpeg_scan *scan, int wide,
                    int64_t first, int64_t count, const uint8_t *clean, size_t n)
{
    const uint8_t *end = clean + n;
    ptrdiff_t unused;
    memset(&s->b, 0, sizeof s->b);
    memset(s->last_dc, 0, sizeof s->last_dc);
    s->eobrun = 0;
    s->b.p = clean;
    s->b.ahead = load64(clean);
    while (count > 0) {
        int x = (int)(first % wide), part = wide - x;
        if (part > count) part = (int)count;
        aim(s, r, scan, x, (int)(first / wide));
        if (!go(s, part, end)) return 0;
        first += part;
        count -= part;
    }
    unused = (end - s->b.p) * 8 + (ptrdiff_t)s->b.n;
    return s->eobrun == 0 && unused >= 0 && unused < 8;
}

static int one_scan(jpeg_reader *r, const jpeg_scan *scan, uint8_t *clean)
{
    const jpeg_component *c = &r->f->c[scan->c[0]];
    int wide = scan->n == 1 ? c->real_wide : r->f->mcus_x;
    int64_t high = scan->n == 1 ? c->real_high : r->f->mcus_y, total = wide * high;
    unsigned restarts = 0;
    state s;
    memset(&s, 0, sizeof s);
    s.ss = scan->ss;
    s.se = scan->se;
    s.al = scan->al;
    r->at = scan->data;
    for (int64_t done = 0; done < total;) {
        int64_t count =
            scan->restart > 0 && scan->restart < total - done ? scan->restart : total - done;
        size_t n;
        if (done > 0) {
            if (r->at[1] != 0xd0 + restarts++ % 8) return 0;
            r->at += 2;
        }
        r->at = jpeg_unstuff(r->at, (size_t)(r->end - r->at), clean, &n);
        if (r->at == NULL) return 0;
        memset(clean + n, 0, JPEG_CLEAN_PAD);
        if (!interval(&s, run_of(r->f, scan), r, scan, wide, done, count, clean, n)) return 0;
        done += count;
    }
    return 1;
}

int jpeg_entropy_present(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

/* Blocks of the lanes to their places. */
typedef struct keeper {
    const jpeg_frame *f;
    jpeg_mcu mcu;
    int dc[JPEG_COMPONENTS];
} keeper;

static int keep(void *ctx, int y, int x, int count, int16_t *block)
{
    keeper *k = ctx;
    unsigned bad = 0;
    for (int end = x + count; x < end; x++)
        for (int i = 0; i < k->mcu.slots; i++, block += 64) {
            int id = k->mcu.slot[i].component, dc = k->dc[id] += block[0];
            const jpeg_component *c = &k->f->c[id];
            int16_t *to = c->block + ((size_t)(y * c->v + k->mcu.slot[i].y) * c->across +
                                      (size_t)(x * c->h + k->mcu.slot[i].x)) *
                                         64;
            bad |= (unsigned)(dc + 32768) & ~65535u; /* libjpeg keeps 16 bits of it */
            memcpy(to, block, 128);
            to[0] = (int16_t)dc;
        }
    return bad == 0;
}

static int by_lanes(jpeg_reader *r, const jpeg_scan *s, uint8_t *clean, int16_t *scratch)
{
    keeper k;
    size_t n;
    memset(&k, 0, sizeof k);
    k.f = r->f;
    jpeg_mcu_of(&k.mcu, r->f, r->t, s);
    r->at = jpeg_unstuff(s->data, s->bytes, clean, &n);
    if (r->at == NULL) return 0;
    memset(clean + n, 0, JPEG_CLEAN_PAD);
    return jpeg_lanes_decode(r->f, &k.mcu, clean, n, scratch, keep, &k);
}

int jpeg_entropy_decode(jpeg_reader *r, jpeg_scan *s, uint8_t *clean, int16_t *scratch)
{
    jpeg_frame *f = r->f;
    int found = JPEG_SCAN;
    if (scratch != NULL && jpeg_is_single(f, s))
        return by_lanes(r, s, clean, scratch) && jpeg_read_next(r, s) == JPEG_END;
    /* One sequential scan of all components writes every block whole. */
    if (f->progressive || s->n != f->n)
        memset(f->c[0].block, 0, jpeg_blocks_room(f) * sizeof(int16_t));
    while (found == JPEG_SCAN) {
        if (!one_scan(r, s, clean)) return 0;
        found = jpeg_read_next(r, s);
    }
    return found == JPEG_END;
}
#else

int jpeg_entropy_present(void)
{
    return 0;
}

int jpeg_entropy_decode(jpeg_reader *r, jpeg_scan *s, uint8_t *clean, int16_t *scratch)
{
    (void)r, (void)s, (void)clean, (void)scratch;
    return 0;
}
#endif
