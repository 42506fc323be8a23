/* PNG, with Pillow 9.4's verdicts.  The chunks are read as its PngImagePlugin reads them
 * (png_chunks.c), so that the same files are refused.  The rows come from libpng (png_lib.c) when it
 * finds nothing wrong with the file; its ideas of order, checksums and limits are stricter than
 * Pillow's, and files that only Pillow takes have their rows read by png_rows.c, over zlib.
 *
 *   before the first IDAT  every chunk's checksum counts; a known chunk that is too short is
 * refused
 *   image data             checksums are not looked at; the run of IDAT chunks must not be broken
 *                          before the last row (or the end of the zlib stream, at a row's end)
 *   after it               damaged chunk headers end the file quietly; a chunk that is cut, or a
 *                          known one that is too short, refuses it
 * gAMA, iCCP, tRNS and alpha change no pixel of convert('RGB'). */
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/image_parts.h"
#include "extract/images/png_chunks.h"
#include "extract/images/png_parts.h"

#include <limits.h>
#include <string.h>

enum { READ_AT_ONCE = 65536 }; /* Pillow's block: it decides where zlib may pause */

/* ---- image data ------------------------------------------------------------------------------ */

static const struct layout {
    uint8_t depth, colour, bits, mode;
} layouts[] = {
    {1, 0, 1, PNG_GREY},      {2, 0, 2, PNG_GREY},     {4, 0, 4, PNG_GREY},
    {8, 0, 8, PNG_GREY},      {16, 0, 16, PNG_GREY16}, {8, 2, 24, PNG_RGB},
    {16, 2, 48, PNG_RGB16},   {1, 3, 1, PNG_PALETTE},  {2, 3, 2, PNG_PALETTE},
    {4, 3, 4, PNG_PALETTE},   {8, 3, 8, PNG_PALETTE},  {8, 4, 16, PNG_GREYA},
    {16, 4, 32, PNG_GREYA16}, {8, 6, 32, PNG_RGBA},    {16, 6, 64, PNG_RGBA16},
};

int png_layout_known(unsigned depth, unsigned colour)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].depth == depth && layouts[i].colour == colour) return (int)i;
    return -1;
}

static int fill_table(const png_chunks *p, png_layout *l)
{
    int top = l->bits <= 8 ? (1 << l->bits) - 1 : 255;
    if (l->mode == PNG_PALETTE) top = 255; /* entries that PLTE lacks are a grey ramp */
    for (int i = 0; i <= top; i++)
        memset(l->table[i], i * 255 / top, 3);
    if (l->mode != PNG_PALETTE) return 0;
    if (p->palette == NULL) {
        if (p->trns == TRNS_INDEX)
            return err_set(ERR_INPUT, "%s: PNG: transparent index without a palette", p->name);
        return 0;
    }
    if (p->palette_bytes / 3 > 256)
        return err_set(ERR_INPUT, "%s: PNG: palette of %zu bytes", p->name, p->palette_bytes);
    memcpy(l->table, p->palette, p->palette_bytes / 3 * 3);
    return 0;
}

static int make_layout(const png_chunks *p, png_layout *l)
{
    int rc = 0;
    *l = (png_layout){.w = p->w, .h = p->h, .interlaced = p->interlaced};
    l->mode = layouts[p->layout].mode;
    l->bits = layouts[p->layout].bits;
    if (p->has_frame) {
        l->x = p->frame[0];
        l->y = p->frame[1];
        l->w = p->frame[2];
        l->h = p->frame[3];
        CHECK(l->w > 0 && l->h > 0 && l->x + l->w <= p->w && l->y + l->h <= p->h, ERR_INPUT,
              "%s: PNG: first frame lies outside the image", p->name);
    }
    CHECK(l->w <= (size_t)(INT_MAX / l->bits - 7), ERR_INPUT, "%s: PNG: rows of %zu pixels",
          p->name, l->w);
    TRY(fill_table(p, l));
done:
    return rc;
}

/* Passes the image data on, block by block as Pillow does, until the rows are complete. */
static int read_rows(png_chunks *p, png_rows *rows)
{
    int rc = 0;
    enum png_fed state = PNG_MORE;
    while (state == PNG_MORE) {
        size_t step, there;
        TRY(png_chunks_more_data(p));
        step = p->data_left < READ_AT_ONCE ? p->data_left : READ_AT_ONCE;
        there = step < p->n - p->at ? step : p->n - p->at;
        CHECK(there > 0, ERR_INPUT, "%s: PNG: file is truncated (byte %zu)", p->name, p->at);
        TRY(png_rows_feed(rows, p->b + p->at, there, &state));
        p->data_left -= step;
        p->at += there;
    }
done:
    return rc;
}

/* What libpng may be asked: it knows neither frames nor image data outside IDAT. */
static int is_plain(const png_chunks *p, const png_layout *l)
{
    return p->data_is_idat && l->w == p->w && l->h == p->h;
}

int png_decode_by(image *im, const uint8_t *bytes, size_t n, const char *name, int try_lib,
                  int *by_lib)
{
    int rc = 0;
    png_chunks p;
    png_layout l;
    png_rows *rows = NULL;
    *by_lib = 0;
    png_chunks_init(&p, bytes, n, name);
    TRY(png_chunks_head(&p));
    TRY(image_reserve(im, p.w, p.h, name));
    TRY(make_layout(&p, &l));
    if (try_lib && is_plain(&p, &l)) *by_lib = png_lib_read(&l, im, bytes, n, p.at);
    if (!*by_lib) {
        TRY(png_rows_new(&rows, &l, im, name));
        TRY(read_rows(&p, rows));
    }
    TRY(png_chunks_tail(&p));
done:
    png_rows_free(&rows);
    return rc;
}

int png_decode(image *im, const uint8_t *bytes, size_t n, const char *name)
{
    int by_lib;
    return png_decode_by(im, bytes, n, name, 1, &by_lib);
}
