/* Chunk by chunk through a PNG, with the rules and limits of Pillow 9.4's PngImagePlugin. */
#include "extract/images/png_chunks.h"
#include "common/err.h"
#include "extract/images/image_parts.h"

#include <ctype.h>
#include <string.h>
#include <zlib.h>

enum {
    TEXT_CHUNK_MAX = 1 << 20, /* one compressed text or profile, inflated */
    TEXT_ALL_MAX = 64 << 20   /* all texts of a file */
};

typedef struct chunk {
    char id[5];
    const uint8_t *s;
    size_t n;
} chunk;

enum { CHUNK_BROKEN = -100 }; /* no chunk header here; the caller says whether that matters */
enum { CHUNK_DATA = 1, CHUNK_END = 2 };

static int refuse(const png_chunks *p, const char *id, const char *rule)
{
    return err_set(ERR_INPUT, "%s: PNG: %s%s%s (byte %zu)", p->name, id, id[0] != '\0' ? ": " : "",
                   rule, p->at);
}

static size_t left(const png_chunks *p)
{
    return p->n - p->at;
}

static void skip(png_chunks *p, size_t n)
{
    p->at += n < left(p) ? n : left(p);
}

/* Length and name of the next chunk; its payload starts at p->at and may be cut by the file's
 * end. */
static int read_head(png_chunks *p, chunk *c)
{
    size_t have = left(p);
    const uint8_t *h = p->b + p->at;
    if (have < 8) {
        p->at = p->n;
        return CHUNK_BROKEN;
    }
    c->n = be32(h);
    memcpy(c->id, h + 4, 4);
    c->id[4] = '\0';
    p->at += 8;
    c->s = p->b + p->at;
    for (int i = 0; i < 4; i++) {
        unsigned char b = h[4 + i];
        if (b >= 128 || !(isalnum(b) || b == '_')) return CHUNK_BROKEN;
    }
    return 0;
}

/* Steps over the payload, which must be there. */
static int read_payload(png_chunks *p, const chunk *c)
{
    if (c->n > left(p)) return refuse(p, c->id, "file ends inside this chunk");
    p->at += c->n;
    return 0;
}

/* ---- texts and profiles ---------------------------------------------------------------------- */

/* Size after inflation, for the limits; damaged data counts as empty. */
static int inflated_size(const png_chunks *p, const char *id, const uint8_t *s, size_t n,
                         size_t *size)
{
    uint8_t out[4096];
    z_stream z = {0};
    int err = Z_OK;
    *size = 0;
    if (inflateInit(&z) != Z_OK) return err_set(ERR_ENV, "%s: PNG: no memory for inflate", p->name);
    z.next_in = (z_const Bytef *)(uintptr_t)s;
    z.avail_in = (uInt)n;
    while (err == Z_OK && z.total_out < TEXT_CHUNK_MAX) {
        size_t room = TEXT_CHUNK_MAX - z.total_out;
        z.next_out = out;
        z.avail_out = (uInt)(room < sizeof out ? room : sizeof out);
        err = inflate(&z, Z_SYNC_FLUSH);
    }
    *size = err < 0 && err != Z_BUF_ERROR ? 0 : z.total_out;
    n = z.avail_in;
    inflateEnd(&z);
    if (err == Z_OK && *size == TEXT_CHUNK_MAX && n > 0)
        return refuse(p, id, "inflates to more than 1 MiB");
    return 0;
}

static int count_text(png_chunks *p, const char *id, size_t size)
{
    p->text_bytes += size;
    if (p->text_bytes > TEXT_ALL_MAX) return refuse(p, id, "more than 64 MiB of text");
    return 0;
}

static int text(png_chunks *p, const chunk *c)
{
    const uint8_t *nul = memchr(c->s, 0, c->n);
    size_t key = nul != NULL ? (size_t)(nul - c->s) : c->n;
    if (key == 0) return 0;
    return count_text(p, c->id, nul != NULL ? c->n - key - 1 : 0);
}

static int compressed_text(png_chunks *p, const chunk *c)
{
    int rc = 0;
    const uint8_t *nul = memchr(c->s, 0, c->n);
    size_t key = nul != NULL ? (size_t)(nul - c->s) : c->n, size = 0;
    if (nul != NULL && key + 1 < c->n) {
        if (nul[1] != 0) return refuse(p, c->id, "unknown compression method");
        TRY(inflated_size(p, c->id, nul + 2, c->n - key - 2, &size));
    }
    if (key > 0) TRY(count_text(p, c->id, size));
done:
    return rc;
}

static int international_text(png_chunks *p, const chunk *c)
{
    int rc = 0;
    const uint8_t *end = c->s + c->n, *at = memchr(c->s, 0, c->n), *nul;
    int packed, method;
    size_t size;
    if (at == NULL || end - at < 3) return 0;
    packed = at[1] != 0;
    method = at[2];
    at += 3;
    for (int i = 0; i < 2; i++) { /* language, translated key */
        nul = memchr(at, 0, (size_t)(end - at));
        if (nul == NULL) return 0;
        at = nul + 1;
    }
    size = (size_t)(end - at);
    if (packed) {
        if (method != 0) return 0;
        TRY(inflated_size(p, c->id, at, size, &size));
    }
    TRY(count_text(p, c->id, size)); /* Pillow counts characters; the limit is far off either way */
done:
    return rc;
}

static int profile(png_chunks *p, const chunk *c)
{
    size_t size, name;
    const uint8_t *nul = memchr(c->s, 0, c->n);
    if (nul == NULL) {
        if (c->n == 0 || c->s[c->n - 1] != 0) return refuse(p, c->id, "unknown compression method");
        return 0;
    }
    name = (size_t)(nul - c->s);
    if (name + 2 >= c->n) return 0;
    return inflated_size(p, c->id, nul + 2, c->n - name - 2, &size);
}

/* ---- the other known chunks ------------------------------------------------------------------ */

static int header(png_chunks *p, const chunk *c)
{
    int known;
    if (c->n < 13) return refuse(p, c->id, "shorter than 13 bytes");
    p->w = be32(c->s);
    p->h = be32(c->s + 4);
    known = png_layout_known(c->s[8], c->s[9]);
    if (known >= 0) p->layout = known;
    if (c->s[12] != 0) p->interlaced = 1;
    if (c->s[11] != 0) return refuse(p, c->id, "unknown filter method");
    return 0;
}

static int channels_of(const png_chunks *p, int *palette)
{
    static const unsigned grey[] = {1, 2, 4, 8, 16};
    *palette = 0;
    for (size_t i = 0; i < sizeof grey / sizeof *grey; i++) {
        if (p->layout == png_layout_known(grey[i], 0)) return 1;
        if (grey[i] < 16 && p->layout == png_layout_known(grey[i], 3)) *palette = 1;
    }
    return p->layout == png_layout_known(8, 2) || p->layout == png_layout_known(16, 2) ? 3 : 0;
}

/* One entry fully transparent and the others opaque counts as an index, else as a table. */
static enum png_trns palette_transparency(const chunk *c)
{
    size_t zeros = 0, n = c->n;
    if (n > 0 && c->s[n - 1] == '\n') n--; /* the end that Pillow's pattern matches at */
    for (size_t i = 0; i < n; i++) {
        if (c->s[i] == 0) zeros++;
        else if (c->s[i] != 255) return TRNS_OTHER;
    }
    return zeros == 1 ? TRNS_INDEX : TRNS_OTHER;
}

static int transparency(png_chunks *p, const chunk *c)
{
    int palette, channels;
    if (p->layout < 0) return 0;
    channels = channels_of(p, &palette);
    if (palette) p->trns = palette_transparency(c);
    else if (c->n < 2 * (size_t)channels) return refuse(p, c->id, "too short");
    return 0;
}

static int animation(png_chunks *p, const chunk *c)
{
    uint32_t frames;
    if (c->n < 8) return refuse(p, c->id, "shorter than 8 bytes");
    frames = be32(c->s);
    if (p->frames != 0) p->frames = 0; /* a second one: not an animation after all */
    else if (frames <= 0x80000000u) p->frames = frames;
    return 0;
}

static int in_sequence(png_chunks *p, const chunk *c)
{
    int64_t number = be32(c->s);
    if (number != p->sequence + 1) return refuse(p, c->id, "frame out of sequence");
    p->sequence = number;
    return 0;
}

static int frame(png_chunks *p, const chunk *c)
{
    int rc = 0;
    uint64_t v[4];
    if (c->n < 26) return refuse(p, c->id, "shorter than 26 bytes");
    TRY(in_sequence(p, c));
    for (int i = 0; i < 4; i++)
        v[i] = be32(c->s + 4 + 4 * i); /* w h x y */
    if (v[2] + v[0] > p->w || v[3] + v[1] > p->h)
        return refuse(p, c->id, "frame outside the image");
    p->frame[0] = (uint32_t)v[2];
    p->frame[1] = (uint32_t)v[3];
    p->frame[2] = (uint32_t)v[0];
    p->frame[3] = (uint32_t)v[1];
    p->has_frame = 1;
done:
    return rc;
}

/* fdAT: a sequence number, then image data. */
static int frame_data(png_chunks *p, const chunk *c)
{
    if (c->n < 4 || left(p) < 4) return refuse(p, c->id, "shorter than 4 bytes");
    p->at += 4;
    if (p->sequence < 0 || be32(c->s) != p->sequence + 1)
        return refuse(p, c->id, "frame data out of sequence");
    p->sequence++;
    return CHUNK_DATA;
}

static int is(const chunk *c, const char *id)
{
    return memcmp(c->id, id, 4) == 0;
}

/* Reads one chunk.  CHUNK_DATA leaves p->at at the first data byte, CHUNK_END at IEND's payload. */
static int handle(png_chunks *p, const chunk *c)
{
    int rc = 0;
    static const struct known {
        const char *id;
        int (*read)(png_chunks *, const chunk *);
        size_t least;
    } table[] = {
        {"IHDR", header, 0},
        {"tRNS", transparency, 0},
        {"tEXt", text, 0},
        {"zTXt", compressed_text, 0},
        {"iTXt", international_text, 0},
        {"iCCP", profile, 0},
        {"acTL", animation, 0},
        {"fcTL", frame, 0},
        {"gAMA", NULL, 4},
        {"sRGB", NULL, 1},
        {"pHYs", NULL, 9},
        {"cHRM", NULL, 0},
    };
    if (is(c, "IEND")) return CHUNK_END;
    if (is(c, "IDAT") && (p->layout >= 0)) return CHUNK_DATA;
    if (is(c, "fdAT")) return frame_data(p, c);
    TRY(read_payload(p, c));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!is(c, table[i].id)) continue;
        if (c->n < table[i].least) return refuse(p, c->id, "too short");
        if (is(c, "cHRM") && c->n % 4 != 0) return refuse(p, c->id, "length is no multiple of 4");
        if (table[i].read != NULL) TRY(table[i].read(p, c));
    }
    if (is(c, "PLTE") && !p->data_found) {
        int palette = 0;
        if (p->layout >= 0) channels_of(p, &palette);
        if (palette) {
            p->palette = c->s;
            p->palette_bytes = c->n;
        }
    }
done:
    return rc;
}

/* ---- the three parts of a file --------------------------------------------------------------- */

void png_chunks_init(png_chunks *p, const uint8_t *bytes, size_t n, const char *name)
{
    *p = (png_chunks){.b = bytes, .n = n, .at = 8, .name = name, .layout = -1, .sequence = -1};
}

static int check_sum(png_chunks *p, const chunk *c)
{
    uint32_t sum;
    if (left(p) < 4) return refuse(p, c->id, "file ends inside the checksum");
    sum = (uint32_t)crc32_z(crc32_z(0, (const Bytef *)c->id, 4), c->s, c->n);
    if (sum != be32(p->b + p->at)) return refuse(p, c->id, "wrong checksum");
    p->at += 4;
    return 0;
}

int png_chunks_head(png_chunks *p)
{
    int rc = 0;
    chunk c;
    for (;;) {
        rc = read_head(p, &c);
        if (rc == CHUNK_BROKEN) return refuse(p, "", "no chunk here");
        TRY(handle(p, &c));
        if (rc == CHUNK_DATA || rc == CHUNK_END) break;
        TRY(check_sum(p, &c));
    }
    if (p->layout < 0) return refuse(p, "IHDR", "missing, or unknown depth and colour type");
    if (rc == CHUNK_END) return refuse(p, "", "no image data");
    rc = 0;
    p->data_found = 1;
    p->data_is_idat = is(&c, "IDAT");
    p->data_left = c.n - (p->data_is_idat ? 0 : 4);
    p->animated = p->frames + (p->frames != 0 && !p->has_frame ? 1u : 0u) > 1;
done:
    return rc;
}

int png_chunks_more_data(png_chunks *p)
{
    int rc = 0;
    chunk c;
    while (p->data_left == 0) {
        skip(p, 4); /* checksum */
        if (read_head(p, &c) != 0)
            return refuse(p, "", "file is truncated or broken inside the image data");
        p->data_left = c.n;
        if (is(&c, "IDAT") || is(&c, "DDAT")) continue;
        if (!is(&c, "fdAT")) return refuse(p, c.id, "image data ends too early");
        TRY(frame_data(p, &c));
        rc = 0;
        p->data_left -= 4;
    }
done:
    return rc;
}

int png_chunks_tail(png_chunks *p)
{
    int rc = 0;
    chunk c;
    skip(p, p->data_left);
    for (;;) {
        skip(p, 4); /* checksum */
        if (read_head(p, &c) != 0 || is(&c, "IEND")) break;
        if (is(&c, "fcTL") && p->animated) break;
        TRY(handle(p, &c));
        if (rc == CHUNK_DATA) {
            rc = 0;
            if (is(&c, "fdAT")) c.n -= 4;
            TRY(read_payload(p, &c));
        }
    }
    if (p->trns == TRNS_INDEX && p->palette == NULL) {
        int palette;
        channels_of(p, &palette);
        if (palette) rc = refuse(p, "tRNS", "transparent index without a palette");
    }
done:
    return rc;
}
