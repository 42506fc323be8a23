/* Baseline Huffman decoding (ITU-T T.81 annex F.2) with two chains of dependent steps in flight.
 *
 * One symbol takes a look-up and two shifts, each waiting for the one before: some eight cycles in
 * which the processor could do four times as much.  So a second lane starts in the middle of the
 * data, or STRIDE ahead, at a guess: it takes the bit there for the first of an MCU.  Huffman codes fall into step
 * soon (after a few dozen MCUs, mostly); where the first lane comes to an MCU that begins at the
 * very bit where an MCU of the second began, all that the second has read from there on is right,
 * as the state between MCUs is the position alone.  Nothing is believed before that: should it
 * not happen, the first lane has read all itself.  DC coefficients are kept as differences, so that
 * the second lane need not know what came before it.
 *
 * libjpeg forgives much; a file that needs forgiving is given up here (return 0). */
#include "extract/images/jpeg_lanes.h"

void jpeg_mcu_of(jpeg_mcu *m, const jpeg_frame *f, const jpeg_tables *t, const jpeg_scan *s)
{
    m->slots = 0;
    for (int i = 0; i < s->n; i++) {
        const jpeg_component *c = &f->c[s->c[i]];
        for (int k = 0; k < c->h * c->v; k++) {
            m->slot[m->slots].component = s->c[i];
            m->slot[m->slots].x = k % c->h;
            m->slot[m->slots].y = k / c->h;
            m->slot[m->slots].dc = &t->dc[s->dc[i]];
            m->slot[m->slots++].ac = &t->ac[s->ac[i]];
        }
    }
}

enum {
    LINE = 64,   /* bytes; blocks lie on whole lines of the cache */
    AHEAD = 8192 /* blocks that the second lane may be ahead */
};

static size_t slots_of(const jpeg_frame *f)
{
    size_t slots = 0;
    for (int i = 0; i < f->n; i++)
        slots += (size_t)(f->c[i].h * f->c[i].v);
    return slots;
}

/* MCUs that the second lane may be ahead. */
static size_t most_ahead(const jpeg_frame *f)
{
    size_t all = (size_t)f->mcus_x * (size_t)f->mcus_y, most = AHEAD / slots_of(f);
    return all < most ? all : most;
}

/* A row of MCUs for the first lane and those of the second, each with a block to spare; then where
 * each MCU began. */
size_t jpeg_lanes_room(const jpeg_frame *f)
{
    size_t mcus = (size_t)f->mcus_x + most_ahead(f);
    return (mcus * slots_of(f) + 2) * 64 + (mcus + 4) * 2 + LINE / sizeof(int16_t);
}

#if defined(__AVX2__)
#include "extract/images/jpeg_bits.h"

enum {
    TWO_LANES_FROM = 512, /* bytes of a scan; below, one lane is done before the other is in step */
    STRIDE = 65536,       /* bytes from one lane to the other, at most: within AHEAD mostly */
    NEAR_END = 512,       /* bits: a lane that stumbles there has read all there was */
    FEW = 8               /* MCUs between looks for the second lane's */
};

typedef struct lane {
    uint64_t hold; /* next bit on top; at least 57 bits after a refill */
    uint64_t at;   /* its place in the data, bits */
    uint64_t end;  /* behind it the lane pauses */
    const jpeg_huffman *ac;
    int16_t *block, *stop; /* the block being read; where to pause */
    unsigned k;            /* its next coefficient */
    int slot;              /* its place in the MCU */
    unsigned bad;
    uint32_t *begins; /* where the next MCU begins; filled in turn */
} lane;

typedef struct source {
    const uint8_t *clean;
    uint64_t bits;
    const jpeg_mcu *mcu;
} source;

FAST void lane_refill(lane *l, const source *s)
{
    l->hold = load64(s->clean + (l->at >> 3)) << (l->at & 7);
}

FAST void lane_drop(lane *l, unsigned n)
{
    l->hold <<= n & 63;
    l->at += n;
}

/* As slow_symbol. */
FAST int lane_symbol(lane *l, const jpeg_huffman *t, uint32_t e)
{
    unsigned length = e & 31;
    int32_t code;
    if (length != 0) {
        lane_drop(l, length);
        return (int)(e >> 16);
    }
    length = JPEG_LOOK;
    do {
        length++;
        code = (int32_t)(l->hold >> (64 - length));
    } while (length < 17 && code > t->max[length]);
    if (length > 16) return -1;
    lane_drop(l, length);
    return t->symbol[(code + t->offset[length]) & 255];
}

FAST int lane_value(lane *l, unsigned size)
{
    uint64_t v = l->hold >> (64 - size);
    int low = (int)(v >> (size - 1)) - 1; /* -1 where the top bit is 0 */
    lane_drop(l, size);
    return (int)v + (low & (1 - (1 << size)));
}

/* DC difference of the block at l->block; four look-ups live on what is left in hold. */
FAST void open_block(lane *l, const source *s)
{
    const jpeg_huffman *t = s->mcu->slot[l->slot].dc;
    uint32_t e;
    l->ac = s->mcu->slot[l->slot].ac;
    lane_refill(l, s);
    e = t->look[l->hold >> (64 - JPEG_LOOK)];
    memset(l->block, 0, 128);
    l->k = 1;
    if (__builtin_expect(!(e & JPEG_SLOW), 1)) {
        lane_drop(l, e & 63);
        l->block[0] = (int16_t)(e >> 16);
    } else {
        int size = lane_symbol(l, t, e);
        if (size < 0) l->bad = 1;
        else if (size > 0) l->block[0] = (int16_t)lane_value(l, (unsigned)size);
        lane_refill(l, s);
    }
}

/* To the next block; 0: the lane pauses before it, or has to end. */
FAST int close_block(lane *l, const source *s)
{
    if (l->k > 64 && l->k <= JPEG_EOB_RUN) l->bad = 1;
    if (l->bad != 0) return 0; /* this MCU does not count */
    l->block += 64;
    if (++l->slot == s->mcu->slots) {
        l->slot = 0;
        *l->begins++ = (uint32_t)l->at;
    }
    if (l->block == l->stop || l->at > l->end) return 0;
    open_block(l, s);
    return 1;
}

/* A symbol that is not in the look-up whole. */
FAST void slow_step(lane *l, const source *s, uint32_t e)
{
    int symbol;
    lane_refill(l, s);
    symbol = lane_symbol(l, l->ac, e);
    if (symbol < 0) {
        l->bad = 1;
        l->k = 2 * JPEG_EOB_RUN;
    } else if ((symbol & 15) != 0) {
        l->k += (unsigned)symbol >> 4;
        l->block[natural[l->k]] = (int16_t)lane_value(l, (unsigned)symbol & 15);
        l->k++;
    } else {
        l->k += symbol == 0xf0 ? 16 : 2 * JPEG_EOB_RUN;
    }
    lane_refill(l, s);
}

/* Needs JPEG_LOOK bits: five of them live on one refill. */
#define STEP(l)                                                                                    \
    do {                                                                                           \
        uint32_t e = (l).ac->look[(l).hold >> (64 - JPEG_LOOK)];                                   \
        if (__builtin_expect((e & JPEG_SLOW) != 0, 0)) {                                           \
            slow_step(&(l), &s, e);                                                                \
        } else {                                                                                   \
            lane_drop(&(l), e & 63);                                                               \
            (l).k += e >> 8 & 255;                                                                 \
            (l).block[natural[(l).k]] = (int16_t)(e >> 16);                                        \
            (l).k++;                                                                               \
        }                                                                                          \
        if ((l).k >= 64 && !close_block(&(l), &s)) goto out;                                       \
    } while (0)

JPEG_BMI static void go_both(lane *pa, lane *pb, const source *ps)
{
    lane a = *pa, b = *pb;
    const source s = *ps;
    for (;;) {
        lane_refill(&a, &s);
        lane_refill(&b, &s);
        STEP(a);
        STEP(b);
        STEP(a);
        STEP(b);
        STEP(a);
        STEP(b);
        STEP(a);
        STEP(b);
        STEP(a);
        STEP(b);
    }
out:
    *pa = a;
    *pb = b;
}

JPEG_BMI static void go_one(lane *pa, const source *ps)
{
    lane a = *pa;
    const source s = *ps;
    for (;;) {
        lane_refill(&a, &s);
        STEP(a);
        STEP(a);
        STEP(a);
        STEP(a);
        STEP(a);
    }
out:
    *pa = a;
}

/* ---- the lanes together ---------------------------------------------------------------------- */

typedef struct work {
    source s;
    const jpeg_frame *f;
    jpeg_sink *sink;
    void *ctx;
    size_t per;                  /* int16_t's of an MCU */
    int64_t done, total;         /* MCUs handed on */
    size_t most;                 /* MCUs that ahead holds */
    int16_t *row, *ahead;        /* blocks of the first lane's MCUs, of the second's */
    uint32_t *row_at, *ahead_at; /* where they begin, and behind the last where the next does */
    int two;                     /* the second lane is under way */
    lane a, b;
} work;

JPEG_BMI static void begin(lane *l, const source *s, uint64_t at, int16_t *blocks, size_t n,
                           uint32_t *begins)
{
    l->at = at;
    l->block = blocks;
    l->stop = blocks + n;
    l->slot = 0;
    l->bad = 0;
    l->begins = begins;
    *l->begins++ = (uint32_t)at;
    open_block(l, s);
}

static void begin_second(work *w, uint64_t at, uint64_t end)
{
    w->b.end = end;
    w->two = 1;
    begin(&w->b, &w->s, at, w->ahead, w->most * w->per, w->ahead_at);
}

/* The second lane has stopped: it goes on a bit later, or has come to its end. */
static void second_stopped(work *w)
{
    if (w->b.bad == 0 || w->b.at + NEAR_END > w->b.end) w->two = 0;
    else begin_second(w, w->b.at + 1, w->b.end);
}

/* The first lane's next `count` MCUs into row. */
static int read_row(work *w, uint64_t at, int64_t count)
{
    lane *a = &w->a;
    begin(a, &w->s, at, w->row, (size_t)count * w->per, w->row_at);
    while (a->block != a->stop && a->bad == 0 && a->at <= w->s.bits) {
        if (w->two) go_both(a, &w->b, &w->s);
        else go_one(a, &w->s);
        if (w->two && (w->b.block == w->b.stop || w->b.bad != 0 || w->b.at > w->b.end))
            second_stopped(w);
    }
    return a->block == a->stop && a->bad == 0 && a->at <= w->s.bits;
}

/* MCUs of the same beginning: *i in the row, *j in the second lane's. */
static int in_step(const work *w, int64_t count, int64_t *i, int64_t *j)
{
    int64_t known = w->b.begins - w->ahead_at;
    *i = *j = 0;
    while (*i <= count && *j < known) {
        if (w->row_at[*i] == w->ahead_at[*j]) return 1;
        if (w->row_at[*i] < w->ahead_at[*j]) ++*i;
        else ++*j;
    }
    return 0;
}

/* Hands MCUs on, row by row. */
static int hand_on(work *w, int16_t *blocks, int64_t count)
{
    while (count > 0) {
        int x = (int)(w->done % w->f->mcus_x), y = (int)(w->done / w->f->mcus_x);
        int part = w->f->mcus_x - x;
        if (part > count) part = (int)count;
        if (!w->sink(w->ctx, y, x, part, blocks)) return 0;
        blocks += (size_t)part * w->per;
        w->done += part;
        count -= part;
    }
    return 1;
}

/* What the second lane has from its MCU j on; *at: where the first goes on. */
static int take_over(work *w, int64_t j, uint64_t *at)
{
    int64_t known = w->b.begins - w->ahead_at - 1, use = known - j;
    if (use > w->total - w->done) use = w->total - w->done;
    *at = w->ahead_at[j + use];
    w->two = 0;
    return hand_on(w, w->ahead + (size_t)j * w->per, use);
}

/* Sends the second lane off from half of what is left, or STRIDE ahead of `at`; *middle: where. */
static int send_ahead(work *w, uint64_t at, uint64_t *middle)
{
    uint64_t half = (w->s.bits - at) / 2;
    if (at > w->s.bits || half < TWO_LANES_FROM * 4) return 0;
    if (half > STRIDE * 8) half = STRIDE * 8;
    *middle = at + half;
    begin_second(w, *middle, *middle + half);
    return 1;
}

static int run(work *w)
{
    uint64_t at = 0, middle = 0;
    int waiting = send_ahead(w, at, &middle);
    while (w->done < w->total) {
        int64_t count = w->f->mcus_x - w->done % w->f->mcus_x, i, j;
        if (waiting && at >= middle && count > FEW) count = FEW;
        if (!read_row(w, at, count)) return 0;
        at = w->row_at[count];
        if (waiting && at >= middle && in_step(w, count, &i, &j)) {
            if (!hand_on(w, w->row, i) || !take_over(w, j, &at)) return 0;
            waiting = send_ahead(w, at, &middle);
        } else {
            if (!hand_on(w, w->row, count)) return 0;
            if (waiting && !w->two && at >= w->b.at) waiting = send_ahead(w, at, &middle);
        }
    }
    return at <= w->s.bits && w->s.bits - at < 8;
}

int jpeg_lanes_decode(const jpeg_frame *f, const jpeg_mcu *m, const uint8_t *clean, size_t n,
                      int16_t *scratch, jpeg_sink *sink, void *ctx)
{
    work w;
    size_t row = (size_t)f->mcus_x, all = row * (size_t)f->mcus_y;
    if (n > UINT32_MAX / 8 - JPEG_CLEAN_PAD) return 0;
    memset(&w, 0, sizeof w);
    w.s = (source){clean, (uint64_t)n * 8, m};
    w.f = f;
    w.sink = sink;
    w.ctx = ctx;
    w.per = (size_t)m->slots * 64;
    w.total = (int64_t)all;
    w.row = scratch + (LINE - (uintptr_t)scratch % LINE) % LINE / sizeof(int16_t);
    w.ahead = w.row + row * w.per + 64;
    w.most = most_ahead(f);
    w.row_at = (uint32_t *)(void *)(w.ahead + w.most * w.per + 64);
    w.ahead_at = w.row_at + row + 2;
    w.a.end = w.s.bits;
    return run(&w);
}
#endif
