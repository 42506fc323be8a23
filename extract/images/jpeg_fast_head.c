/* Headers of an ordinary JPEG, read strictly: what libjpeg would warn about, mend or refuse makes
 * the file not ordinary.  ITU-T T.81 annex B. */
#include "extract/images/jpeg_fast.h"

#include <string.h>

const uint8_t jpeg_natural[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                  58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

typedef struct reader {
    jpeg_frame *f;
    jpeg_tables *t;
    int jfif, adobe, has_frame;
} reader;

static int quantisers(reader *r, const uint8_t *s, size_t n)
{
    while (n > 0) {
        int wide = s[0] >> 4, id = s[0] & 15;
        size_t need = wide ? 129 : 65;
        if (wide > 1 || id > 3 || n < need) return 0;
        for (int k = 0; k < 64; k++)
            r->f->quant[id][jpeg_natural[k]] =
                (int16_t)(uint16_t)(wide ? be16(s + 1 + 2 * k) : s[1 + k]);
        r->f->quant_defined[id] = 1;
        s += need;
        n -= need;
    }
    return 1;
}

/* Value of `bits` magnitude bits (T.81 F.2.2.1, EXTEND). */
static int extend(int v, int bits)
{
    return v < 1 << (bits - 1) ? v - (1 << bits) + 1 : v;
}

/* What the look-up says for all JPEG_LOOK-bit strings that begin with this code. */
static void fill_look(jpeg_huffman *t, int code, int length, int symbol)
{
    int run = t->is_dc ? 0 : symbol >> 4, size = t->is_dc ? symbol : symbol & 15;
    int spare = JPEG_LOOK - length;
    uint32_t slow = (uint32_t)symbol << 16 | JPEG_SLOW | (uint32_t)length;
    for (int tail = 0; tail < 1 << spare; tail++) {
        uint32_t e = slow;
        if (size > 0 && size <= spare)
            e = (uint32_t)extend(tail >> (spare - size), size) << 16 | (uint32_t)run << 8 |
                (uint32_t)(length + size);
        else if (size == 0 && t->is_dc) e = (uint32_t)length;
        else if (size == 0 && run < 15) e = (uint32_t)JPEG_EOB_RUN << 8 | (uint32_t)length;
        t->look[code << spare | tail] = e;
    }
}

static int make_huffman(jpeg_huffman *t, int is_dc, const uint8_t *counts, const uint8_t *symbols,
                        int n)
{
    int code = 0, k = 0;
    if (t->defined && t->is_dc == is_dc && memcmp(t->counts, counts, 16) == 0 &&
        memcmp(t->symbol, symbols, (size_t)n) == 0)
        return 1;
    memset(t, 0, sizeof *t);
    t->is_dc = is_dc;
    memcpy(t->counts, counts, 16);
    memcpy(t->symbol, symbols, (size_t)n);
    for (size_t i = 0; i < 1 << JPEG_LOOK; i++)
        t->look[i] = JPEG_SLOW;
    for (int length = 1; length <= 16; length++) {
        t->offset[length] = k - code;
        t->max[length] = counts[length - 1] > 0 ? code + counts[length - 1] - 1 : -1;
        if (code + counts[length - 1] >= 1 << length) return 0; /* the code of ones is reserved */
        for (int i = 0; i < counts[length - 1]; i++, k++, code++) {
            if (is_dc && symbols[k] > 11) return 0; /* larger than 8-bit data ever needs */
            if (length <= JPEG_LOOK) fill_look(t, code, length, symbols[k]);
        }
        code <<= 1;
    }
    t->max[17] = INT32_MAX;
    t->defined = 1;
    return 1;
}

static int huffman(reader *r, unsigned seen[2], const uint8_t *s, size_t n)
{
    while (n > 0) {
        int count = 0, is_dc, id;
        jpeg_huffman *t;
        if (n < 17) return 0;
        is_dc = s[0] >> 4 == 0;
        id = s[0] & 15;
        for (int i = 1; i <= 16; i++)
            count += s[i];
        if (s[0] >> 4 > 1 || id > 3 || count > 256 || n < 17 + (size_t)count) return 0;
        t = is_dc ? &r->t->dc[id] : &r->t->ac[id];
        if (!make_huffman(t, is_dc, s + 1, s + 17, count)) {
            t->defined = 0;
            return 0;
        }
        seen[is_dc] |= 1u << id;
        s += 17 + count;
        n -= 17 + (size_t)count;
    }
    return 1;
}

static int frame(reader *r, const uint8_t *s, size_t n)
{
    jpeg_frame *f = r->f;
    if (r->has_frame || n < 6 || s[0] != 8 || (s[5] != 1 && s[5] != 3) || n != 6 + 3 * (size_t)s[5])
        return 0;
    r->has_frame = 1;
    f->h = (int)be16(s + 1);
    f->w = (int)be16(s + 3);
    f->n = s[5];
    f->hmax = f->vmax = 1;
    for (int i = 0; i < f->n; i++) {
        jpeg_component *c = &f->c[i];
        c->id = s[6 + 3 * i];
        c->h = s[7 + 3 * i] >> 4;
        c->v = s[7 + 3 * i] & 15;
        c->quant = s[8 + 3 * i];
        if (c->h < 1 || c->v < 1 || c->h > 2 || c->v > 2 || c->quant > 3) return 0;
        for (int k = 0; k < i; k++)
            if (f->c[k].id == c->id) return 0;
    }
    if (f->n == 1) f->c[0].h = f->c[0].v = 1; /* a scan of one component has one block an MCU */
    f->hmax = f->c[0].h;
    f->vmax = f->c[0].v;
    for (int i = 1; i < f->n; i++)
        if (f->c[i].h != 1 || f->c[i].v != 1) return 0;
    return f->w >= 16 && f->h >= 8;
}

static int scan(reader *r, const unsigned seen[2], const uint8_t *s, size_t n)
{
    jpeg_frame *f = r->f;
    if (!r->has_frame || n != 4 + 2 * (size_t)f->n || s[0] != f->n) return 0;
    for (int i = 0; i < f->n; i++) {
        jpeg_component *c = &f->c[i];
        if (s[1 + 2 * i] != c->id) return 0;
        c->dc = s[2 + 2 * i] >> 4;
        c->ac = s[2 + 2 * i] & 15;
        if (c->dc > 3 || c->ac > 3 || !(seen[1] >> c->dc & 1) || !(seen[0] >> c->ac & 1)) return 0;
        if (!f->quant_defined[c->quant]) return 0;
    }
    s += 1 + 2 * f->n;
    return s[0] == 0 && s[1] == 63 && s[2] == 0;
}

/* Colour as libjpeg guesses it: JFIF or Adobe's transform 1, else component numbers 1 2 3. */
static int is_ycbcr(const reader *r)
{
    const jpeg_component *c = r->f->c;
    if (r->f->n == 1 || r->jfif || r->adobe == 1) return 1;
    return r->adobe < 0 && c[0].id == 1 && c[1].id == 2 && c[2].id == 3;
}

static int application(reader *r, unsigned marker, const uint8_t *s, size_t n)
{
    if (marker == 0xe0 && n >= 4 && memcmp(s, "JFIF", 4) == 0) {
        if (n < 14 || s[4] != 0) return 0;
        r->jfif = 1;
    }
    if (marker == 0xee && n >= 5 && memcmp(s, "Adobe", 5) == 0) {
        if (n < 12) return 0;
        r->adobe = s[11];
    }
    return 1;
}

static int segment(reader *r, unsigned seen[2], unsigned marker, const uint8_t *s, size_t n)
{
    if (marker == 0xdb) return quantisers(r, s, n);
    if (marker == 0xc4) return huffman(r, seen, s, n);
    if (marker == 0xc0 || marker == 0xc1) return frame(r, s, n);
    if (marker >= 0xe0 && marker <= 0xef) return application(r, marker, s, n);
    if (marker == 0xdd) return n == 2 && be16(s) == 0;
    return marker == 0xfe;
}

int jpeg_fast_head(jpeg_frame *f, jpeg_tables *t, const uint8_t *b, size_t n)
{
    reader r = {.f = f, .t = t, .adobe = -1};
    unsigned seen[2] = {0, 0}; /* bit per table: AC, DC */
    size_t at = 2;
    memset(f, 0, sizeof *f);
    for (;;) {
        unsigned marker;
        size_t length;
        const uint8_t *s;
        if (at > n || n - at < 4 || b[at] != 0xff) return 0;
        marker = b[at + 1];
        length = be16(b + at + 2);
        if (length < 2 || length > n - at - 2) return 0;
        s = b + at + 4;
        at += 2 + length;
        if (marker == 0xda) {
            if (!scan(&r, seen, s, length - 2) || !is_ycbcr(&r)) return 0;
            f->scan = b + at;
            f->scan_bytes = n - at;
            return 1;
        }
        if (!segment(&r, seen, marker, s, length - 2)) return 0;
    }
}
