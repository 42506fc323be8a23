/* Segments of an ordinary JPEG, read strictly: what libjpeg would warn about, mend or refuse makes
 * the file not ordinary.  ITU-T T.81 annex B. */
#include "extract/images/image_parts.h"
#include "extract/images/jpeg_entropy.h"
#include "extract/images/jpeg_fast.h"

#include <string.h>

const uint8_t jpeg_natural[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                  58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

static int quantisers(jpeg_reader *r, const uint8_t *s, size_t n)
{
    while (n > 0) {
        int wide = s[0] >> 4, id = s[0] & 15;
        size_t need = wide ? 129 : 65;
        if (wide > 1 || id > 3 || n < need) return 0;
        for (int k = 0; k < 64; k++)
            r->f->quant[id][jpeg_natural[k]] =
                (int16_t)(uint16_t)(wide ? be16(s + 1 + 2 * k) : s[1 + k]);
        r->quant_seen |= 1u << id;
        s += need;
        n -= need;
    }
    return 1;
}

static int huffman(jpeg_reader *r, const uint8_t *s, size_t n)
{
    while (n > 0) {
        int count = 0, is_dc, id;
        if (n < 17) return 0;
        is_dc = s[0] >> 4 == 0;
        id = s[0] & 15;
        for (int i = 1; i <= 16; i++)
            count += s[i];
        if (s[0] >> 4 > 1 || id > 3 || count > 256 || n < 17 + (size_t)count) return 0;
        jpeg_huffman_set(is_dc ? &r->t->dc[id] : &r->t->ac[id], s + 1, s + 17, count);
        r->huffman_seen[is_dc] |= 1u << id;
        s += 17 + count;
        n -= 17 + (size_t)count;
    }
    return 1;
}

static int blocks(int samples, int factor, int most)
{
    return (int)(((int64_t)samples * factor + 8 * most - 1) / (8 * most));
}

static void measure(jpeg_frame *f)
{
    f->mcus_x = blocks(f->w, 1, f->hmax);
    f->mcus_y = blocks(f->h, 1, f->vmax);
    for (int i = 0; i < f->n; i++) {
        jpeg_component *c = &f->c[i];
        c->blocks_wide = f->mcus_x * c->h;
        c->blocks_high = f->mcus_y * c->v;
        c->real_wide = blocks(f->w, c->h, f->hmax);
        c->real_high = blocks(f->h, c->v, f->vmax);
        c->width = (f->w * c->h + f->hmax - 1) / f->hmax;
        c->height = (f->h * c->v + f->vmax - 1) / f->vmax;
    }
}

static int component(jpeg_frame *f, int i, const uint8_t *s)
{
    jpeg_component *c = &f->c[i];
    c->id = s[0];
    c->h = s[1] >> 4;
    c->v = s[1] & 15;
    c->quant = s[2];
    if (c->h < 1 || c->v < 1 || c->h > 4 || c->v > 4 || c->quant > 3) return 0;
    for (int k = 0; k < i; k++)
        if (f->c[k].id == c->id) return 0;
    if (f->n == 1) c->h = c->v = 1; /* a scan of one component has one block an MCU */
    if (c->h > f->hmax) f->hmax = c->h;
    if (c->v > f->vmax) f->vmax = c->v;
    return 1;
}

static int frame(jpeg_reader *r, unsigned marker, const uint8_t *s, size_t n)
{
    jpeg_frame *f = r->f;
    size_t samples = 0;
    if (f->n != 0 || n < 6 || s[0] != 8 || (s[5] != 1 && s[5] != 3 && s[5] != 4) ||
        n != 6 + 3 * (size_t)s[5])
        return 0;
    f->progressive = marker == 0xc2;
    f->h = (int)be16(s + 1);
    f->w = (int)be16(s + 3);
    f->n = s[5];
    f->hmax = f->vmax = 1;
    for (int i = 0; i < f->n; i++)
        if (!component(f, i, s + 6 + 3 * i)) return 0;
    measure(f);
    for (int i = 0; i < f->n; i++)
        samples += (size_t)f->c[i].blocks_wide * (size_t)f->c[i].blocks_high * 64;
    return f->w > 0 && f->h > 0 && (size_t)f->w * (size_t)f->h <= JPEG_PIXELS_MAX &&
           samples <= 4 * (size_t)JPEG_PIXELS_MAX;
}

static int application(jpeg_reader *r, unsigned marker, const uint8_t *s, size_t n)
{
    if (marker == 0xe0 && n >= 4 && memcmp(s, "JFIF", 4) == 0) {
        if (n < 14 || s[4] != 0 || s[5] != 1) return 0; /* version 1.x */
        r->f->jfif = 1;
    }
    if (marker == 0xee && n >= 5 && memcmp(s, "Adobe", 5) == 0) {
        if (n < 12) return 0;
        r->f->adobe = s[11];
    }
    return 1;
}

/* ---- scans ----------------------------------------------------------------------------------- */

/* Each bit of each coefficient comes once, high ones first, no AC before its DC. */
static int in_order(jpeg_reader *r, const jpeg_scan *s)
{
    for (int i = 0; i < s->n; i++) {
        int8_t *bits = r->bits[s->c[i]];
        if (s->ss > 0 && bits[0] < 0) return 0;
        for (int k = s->ss; k <= s->se; k++) {
            if (bits[k] != (s->ah == 0 ? -1 : s->ah)) return 0;
            bits[k] = (int8_t)s->al;
        }
    }
    return 1;
}

static int band(const jpeg_frame *f, const jpeg_scan *s)
{
    if (!f->progressive) return s->ss == 0 && s->se == 63 && s->ah == 0 && s->al == 0;
    if (s->ss == 0 ? s->se != 0 : s->n != 1 || s->se < s->ss || s->se > 63) return 0;
    return s->ah == 0 ? s->al <= 13 : s->al == s->ah - 1;
}

static int tables_of_scan(jpeg_reader *r, const jpeg_scan *s)
{
    int dc = s->ss == 0 && s->ah == 0, ac = s->se > 0;
    for (int i = 0; i < s->n; i++) {
        if (!(r->quant_seen >> r->f->c[s->c[i]].quant & 1)) return 0;
        if (dc && (!(r->huffman_seen[1] >> s->dc[i] & 1) ||
                   !jpeg_huffman_make(&r->t->dc[s->dc[i]], JPEG_DC)))
            return 0;
        if (ac && (!(r->huffman_seen[0] >> s->ac[i] & 1) ||
                   !jpeg_huffman_make(&r->t->ac[s->ac[i]],
                                      r->f->progressive ? JPEG_AC_PROGRESSIVE : JPEG_AC)))
            return 0;
    }
    return 1;
}

/* Adobe's transform byte, where libjpeg looks at it. */
static int known_colour(const jpeg_frame *f)
{
    if (f->n == 3 && !f->jfif) return f->adobe <= 1;
    return f->n != 4 || f->adobe <= 0 || f->adobe == 2;
}

static int scan(jpeg_reader *r, jpeg_scan *s, const uint8_t *b, size_t n)
{
    int mcu = 0;
    if (r->f->n == 0 || n < 1 || b[0] < 1 || b[0] > r->f->n || n != 4 + 2 * (size_t)b[0]) return 0;
    s->n = b[0];
    for (int i = 0, k = 0; i < s->n; i++, k++) { /* in the order of the frame */
        while (k < r->f->n && r->f->c[k].id != b[1 + 2 * i])
            k++;
        if (k == r->f->n) return 0;
        s->c[i] = k;
        s->dc[i] = b[2 + 2 * i] >> 4;
        s->ac[i] = b[2 + 2 * i] & 15;
        mcu += r->f->c[k].h * r->f->c[k].v;
        if (s->dc[i] > 3 || s->ac[i] > 3) return 0;
    }
    b += 1 + 2 * s->n;
    s->ss = b[0];
    s->se = b[1];
    s->ah = b[2] >> 4;
    s->al = b[2] & 15;
    s->restart = r->restart;
    return (s->n == 1 || mcu <= 10) && ++r->scans <= JPEG_SCANS_MAX && known_colour(r->f) &&
           band(r->f, s) && in_order(r, s) && tables_of_scan(r, s);
}

static int complete(const jpeg_reader *r)
{
    for (int i = 0; i < r->f->n; i++)
        for (int k = 0; k < 64; k++)
            if (r->bits[i][k] != 0) return 0;
    return 1;
}

static int segment(jpeg_reader *r, unsigned marker, const uint8_t *s, size_t n)
{
    if (marker == 0xc4) return huffman(r, s, n);
    if (marker == 0xfe) return 1;
    if (marker == 0xdd) {
        if (n != 2) return 0;
        r->restart = (int)be16(s);
        return 1;
    }
    if (r->scans > 0) return 0; /* the others belong before the first scan */
    if (marker == 0xdb) return quantisers(r, s, n);
    if (marker >= 0xc0 && marker <= 0xc2) return frame(r, marker, s, n);
    return marker >= 0xe0 && marker <= 0xef && application(r, marker, s, n);
}

int jpeg_read_next(jpeg_reader *r, jpeg_scan *s)
{
    for (;;) {
        unsigned marker;
        size_t length, left = (size_t)(r->end - r->at);
        const uint8_t *b = r->at;
        if (left < 2 || b[0] != 0xff) return JPEG_OTHER;
        marker = b[1];
        if (marker == 0xd9) return complete(r) ? JPEG_END : JPEG_OTHER;
        if (left < 4) return JPEG_OTHER;
        length = be16(b + 2);
        if (length < 2 || length > left - 2) return JPEG_OTHER;
        r->at += 2 + length;
        if (marker == 0xda) {
            s->data = r->at;
            s->bytes = (size_t)(r->end - r->at);
            return scan(r, s, b + 4, length - 2) ? JPEG_SCAN : JPEG_OTHER;
        }
        if (!segment(r, marker, b + 4, length - 2)) return JPEG_OTHER;
    }
}

int jpeg_read_start(jpeg_reader *r, jpeg_frame *f, jpeg_tables *t, const uint8_t *bytes, size_t n,
                    jpeg_scan *s)
{
    memset(f, 0, sizeof *f);
    memset(r, 0, sizeof *r);
    memset(r->bits, -1, sizeof r->bits);
    f->adobe = -1;
    r->f = f;
    r->t = t;
    if (n < 2) return JPEG_OTHER;
    r->at = bytes + 2;
    r->end = bytes + n;
    return jpeg_read_next(r, s) == JPEG_SCAN ? JPEG_SCAN : JPEG_OTHER;
}
