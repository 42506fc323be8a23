/* The header walk of Pillow 9.4's JpegImagePlugin, up to the first SOS marker.
 * libjpeg would accept some of the headers that Pillow refuses and the other way round; a file is
 * decoded only when both accept it, which is what Pillow does.  No pixel depends on this file. */
#include "common/err.h"
#include "extract/images/image_parts.h"

#include <string.h>

typedef struct walk {
    const uint8_t *b;
    size_t n, at;
    const char *name;
    jpeg_head *head;
    int has_dpi; /* from JFIF, or tried from Exif */
    int has_exif;
    const uint8_t *icc; /* least ICC segment in byte order */
    size_t icc_n;
    const uint8_t *mp; /* last MPF segment, after its tag */
    size_t mp_n;
} walk;

typedef struct segment {
    const uint8_t *s;
    size_t n;
} segment;

static int refuse(const walk *k, const char *rule)
{
    return err_set(ERR_INPUT, "%s: JPEG header: %s (byte %zu)", k->name, rule, k->at);
}

/* The payload of the segment whose length is next.  A length below 2 reads as an empty payload. */
static int take(walk *k, segment *out)
{
    unsigned length;
    if (k->n - k->at < 2) return refuse(k, "file ends in a segment length");
    length = be16(k->b + k->at);
    k->at += 2;
    out->s = k->b + k->at;
    out->n = length > 2 ? length - 2 : 0;
    if (out->n > k->n - k->at) return refuse(k, "file ends inside a segment");
    k->at += out->n;
    return 0;
}

static int starts(segment g, const char *with, size_t n)
{
    return g.n >= n && memcmp(g.s, with, n) == 0;
}

/* Photoshop's resource blocks: Pillow stops quietly where one is cut, except at its name's
 * length. */
static int photoshop(const walk *k, segment g)
{
    size_t at = 14, size;
    while (g.n >= at + 4 && memcmp(g.s + at, "8BIM", 4) == 0) {
        unsigned code;
        at += 4;
        if (at + 2 > g.n) break;
        code = be16(g.s + at);
        at += 2;
        if (at >= g.n) return refuse(k, "Photoshop resource without a name length");
        at += 1 + (size_t)g.s[at];
        at += at & 1;
        if (at > g.n || g.n - at < 4) break;
        size = be32(g.s + at);
        at += 4;
        if (code == 0x03ed && (size < 14 || g.n - at < 14)) break; /* ResolutionInfo is unpacked */
        if (size > g.n - at) break;
        at += size;
        at += at & 1;
    }
    return 0;
}

/* Pillow looks for a resolution in Exif when JFIF gave none.  Whatever it finds is not used here,
 * but a TIFF header that is cut, or a BigTIFF one, makes it give the file up. */
static int exif(const walk *k, segment g)
{
    static const char *const accepted[] = {"MM\0*", "II*\0", "MM*\0", "II\0*", "MM\0+", "II+\0"};
    const uint8_t *t = g.s;
    size_t n = g.n;
    if (n >= 6 && memcmp(t, "Exif\0\0", 6) == 0) {
        t += 6;
        n -= 6;
    }
    for (size_t i = 0; n >= 4 && i < sizeof accepted / sizeof *accepted; i++)
        if (memcmp(t, accepted[i], 4) == 0 && (n < 8 || t[2] == 43))
            return refuse(k, "Exif has no usable TIFF header");
    return 0;
}

static int app(walk *k, unsigned marker)
{
    int rc = 0;
    segment g;
    TRY(take(k, &g));
    if (marker == 0xe0 && starts(g, "JFIF", 4)) {
        if (g.n < 7) return refuse(k, "JFIF segment too short");
        if (g.n >= 12 && g.s[7] == 1) k->has_dpi = 1;
    } else if (marker == 0xe1 && starts(g, "Exif\0", 5)) {
        if (!k->has_exif && !k->has_dpi) TRY(exif(k, g));
        if (!k->has_exif) k->has_dpi = 1; /* tried once, then a default stands */
        k->has_exif = 1;
    } else if (marker == 0xe2 && starts(g, "FPXR\0", 5)) {
        /* FlashPix: kept by Pillow, unused */
    } else if (marker == 0xe2 && starts(g, "ICC_PROFILE\0", 12)) {
        size_t both = g.n < k->icc_n ? g.n : k->icc_n;
        int order = k->icc == NULL ? -1 : memcmp(g.s, k->icc, both);
        if (order < 0 || (order == 0 && g.n < k->icc_n)) {
            k->icc = g.s;
            k->icc_n = g.n;
        }
    } else if (marker == 0xed && starts(g, "Photoshop 3.0\0", 14)) {
        TRY(photoshop(k, g));
    } else if (marker == 0xee && starts(g, "Adobe", 5)) {
        if (g.n < 7) return refuse(k, "Adobe segment too short");
    } else if (marker == 0xe2 && starts(g, "MPF\0", 4)) {
        k->mp = g.s + 4;
        k->mp_n = g.n - 4;
    }
done:
    return rc;
}

static int start_of_frame(walk *k)
{
    int rc = 0;
    segment g;
    TRY(take(k, &g));
    if (g.n < 6) return refuse(k, "frame header too short");
    k->head->h = (int)be16(g.s + 1);
    k->head->w = (int)be16(g.s + 3);
    CHECK(g.s[0] == 8, ERR_INPUT, "%s: JPEG header: %d bits a sample, only 8 are read (byte %zu)",
          k->name, g.s[0], k->at);
    k->head->layers = g.s[5];
    CHECK(g.s[5] == 1 || g.s[5] == 3 || g.s[5] == 4, ERR_INPUT,
          "%s: JPEG header: %d components (byte %zu)", k->name, g.s[5], k->at);
    if (k->icc != NULL && k->icc_n < 14) return refuse(k, "ICC segment too short");
    k->icc = NULL;
    k->icc_n = 0;
    if (g.n % 3 != 0) return refuse(k, "frame header of odd length");
done:
    return rc;
}

static int quantisers(walk *k)
{
    int rc = 0;
    segment g;
    TRY(take(k, &g));
    while (g.n > 0) {
        size_t need = g.s[0] >> 4 == 0 ? 65 : 129;
        if (g.n < need) return refuse(k, "quantisation table too short");
        g.s += need;
        g.n -= need;
    }
done:
    return rc;
}

static int handle(walk *k, unsigned marker)
{
    segment g;
    if (marker == 0xdb) return quantisers(k);
    if (marker >= 0xe0 && marker <= 0xef) return app(k, marker);
    if (marker == 0xc4 || marker == 0xcc || marker == 0xda || marker == 0xdc || marker == 0xdd ||
        marker == 0xdf || marker == 0xfe)
        return take(k, &g);
    if (marker == 0xde || (marker >= 0xc0 && marker <= 0xcf && marker != 0xc8))
        return start_of_frame(k);
    return 0; /* RSTn, SOI, EOI, JPGn: nothing follows them */
}

/* ---- the MPF directory ----------------------------------------------------------------------- */

typedef struct tiff {
    const uint8_t *b;
    size_t n;
    int big;
} tiff;

static unsigned t16(const tiff *t, const uint8_t *p)
{
    return t->big ? be16(p) : (unsigned)p[1] << 8 | p[0];
}

static uint32_t t32(const tiff *t, const uint8_t *p)
{
    return t->big ? be32(p) : (uint32_t)t16(t, p + 2) << 16 | t16(t, p);
}

/* A multi-picture file promises B001 = q images in B002 = q entries of 16 bytes.  Where it holds
 * fewer, Pillow fails in a way that it does not catch as "malformed MPO, read the first image". */
static int multi_picture(const walk *k)
{
    tiff t = {k->mp, k->mp_n, 0};
    uint32_t first, images = 0;
    size_t entries = 0, at, count;
    int has_images = 0, has_entries = 0;
    if (t.n < 8) return 0;
    if (memcmp(t.b, "MM\0*", 4) == 0) t.big = 1;
    else if (memcmp(t.b, "II*\0", 4) != 0) return 0;
    first = t32(&t, t.b + 4);
    if (first > t.n || t.n - first < 2) return 0;
    count = t16(&t, t.b + first);
    at = (size_t)first + 2;
    for (size_t i = 0; i < count && t.n - at >= 12; i++, at += 12) {
        const uint8_t *e = t.b + at;
        unsigned tag = t16(&t, e), type = t16(&t, e + 2);
        uint32_t units = t32(&t, e + 4);
        if (tag == 0xb001 && type == 4 && units == 1) {
            images = t32(&t, e + 8);
            has_images = 1;
        } else if (tag == 0xb002 && (type == 7 || type == 1) && units > 0) {
            uint32_t where = t32(&t, e + 8);
            if (units > 4 && (where > t.n || units > t.n - where)) break;
            entries = units;
            has_entries = 1;
        }
    }
    if (has_images && has_entries && images > entries / 16)
        return refuse(k, "multi-picture index holds fewer entries than images");
    return 0;
}

int jpeg_head_read(jpeg_head *head, const uint8_t *bytes, size_t n, const char *name)
{
    int rc = 0;
    walk k = {.b = bytes, .n = n, .at = 3, .name = name, .head = head};
    unsigned marker = 0, byte = 0xff;
    *head = (jpeg_head){0};
    while (marker != 0xda) {
        if (byte == 0xff) {
            if (k.at >= n) return refuse(&k, "file ends before the first scan");
            marker = bytes[k.at++];
            if (marker == 0xff) continue; /* padding */
            if (marker != 0x00 && marker < 0xc0) return refuse(&k, "no marker found");
            if (marker != 0x00) TRY(handle(&k, marker));
            if (marker == 0xda) break;
        }
        if (k.at >= n) return refuse(&k, "file ends before the first scan");
        byte = bytes[k.at++];
    }
    if (head->layers == 0) return refuse(&k, "scan without a frame");
    if (head->w == 0 || head->h == 0) return refuse(&k, "image without rows or columns");
    if (k.mp != NULL) TRY(multi_picture(&k));
done:
    return rc;
}
