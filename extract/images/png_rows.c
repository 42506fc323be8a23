/* Rows of a PNG: inflate, undo the row filter, turn samples into RGB, undo Adam7.
 * PNG specification, third edition, sections 7 to 9.  Where the data is damaged it does what
 * Pillow's decoder does: the order of "input used up", "row complete" and "stream ended" decides
 * whether a file counts as truncated, so png_rows_feed keeps to that order. */
#include "extract/images/png_parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const struct adam7 {
    size_t x, y, dx, dy;
} passes[7] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
               {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

struct png_rows {
    png_layout l;
    image *im;
    const char *name;
    z_stream z;
    int z_open;
    uint8_t *row, *above; /* filter byte and samples */
    size_t row_bytes;     /* of the widest row, without the filter byte */
    size_t got;           /* bytes of the current row */
    size_t y;             /* in the image, or in the interlaced picture */
    int pass;
    uint8_t blank[3]; /* what sample 0 stands for: pixels that no row reaches */
    int blanked;      /* the image was filled with it */
};

/* ---- samples -> RGB -------------------------------------------------------------------------- */

static void put_table(const png_layout *l, const uint8_t *s, uint8_t *rgb, size_t n, size_t step)
{
    if (l->bits == 8) {
        for (size_t i = 0; i < n; i++, rgb += step)
            memcpy(rgb, l->table[s[i]], 3);
        return;
    }
    for (size_t i = 0; i < n; i++, rgb += step) {
        size_t bit = i * (size_t)l->bits;
        int v = s[bit / 8] >> (8 - l->bits - (int)(bit % 8)) & ((1 << l->bits) - 1);
        memcpy(rgb, l->table[v], 3);
    }
}

/* n pixels from s to rgb, `step` bytes from one pixel to the next. */
static void put_pixels(const png_layout *l, const uint8_t *s, uint8_t *rgb, size_t n, size_t step)
{
    size_t size = (size_t)l->bits / 8, high; /* bytes of a pixel; of a channel */
    switch (l->mode) {
    case PNG_NONE:
        break;
    case PNG_GREY:
    case PNG_PALETTE:
        put_table(l, s, rgb, n, step);
        break;
    case PNG_GREY16:
        for (size_t i = 0; i < n; i++, rgb += step)
            memset(rgb, s[2 * i] != 0 ? 255 : s[2 * i + 1], 3);
        break;
    case PNG_GREYA:
    case PNG_GREYA16:
        for (size_t i = 0; i < n; i++, rgb += step)
            memset(rgb, s[size * i], 3);
        break;
    case PNG_RGB:
        if (step == 3) {
            memcpy(rgb, s, 3 * n);
            break;
        } /* fall through */
    case PNG_RGBA:
    case PNG_RGB16:
    case PNG_RGBA16:
        high = l->mode == PNG_RGB || l->mode == PNG_RGBA ? 1 : 2;
        for (size_t i = 0; i < n; i++, rgb += step, s += size) {
            rgb[0] = s[0];
            rgb[1] = s[high];
            rgb[2] = s[2 * high];
        }
        break;
    }
}

/* ---- row filters ----------------------------------------------------------------------------- */

static uint8_t paeth(int a, int b, int c)
{
    int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* Undoes filter `kind` on n bytes at s; up is the row above, bpp the distance to the left pixel. */
static int unfilter(int kind, uint8_t *s, const uint8_t *up, size_t n, size_t bpp)
{
    size_t i, first = n < bpp ? n : bpp;
    switch (kind) {
    case 0:
        return 0;
    case 1:
        for (i = bpp; i < n; i++)
            s[i] = (uint8_t)(s[i] + s[i - bpp]);
        return 0;
    case 2:
        for (i = 0; i < n; i++)
            s[i] = (uint8_t)(s[i] + up[i]);
        return 0;
    case 3:
        for (i = 0; i < first; i++)
            s[i] = (uint8_t)(s[i] + up[i] / 2);
        for (; i < n; i++)
            s[i] = (uint8_t)(s[i] + (s[i - bpp] + up[i]) / 2);
        return 0;
    case 4:
        for (i = 0; i < first; i++)
            s[i] = (uint8_t)(s[i] + up[i]);
        for (; i < n; i++)
            s[i] = (uint8_t)(s[i] + paeth(s[i - bpp], up[i], up[i - bpp]));
        return 0;
    default:
        return -1;
    }
}

/* ---- the walk over rows ---------------------------------------------------------------------- */

static size_t pixels_of_row(const png_rows *r)
{
    const struct adam7 *p = &passes[r->pass];
    if (!r->l.interlaced) return r->l.w;
    return (r->l.w + p->dx - 1 - p->x) / p->dx;
}

static size_t bytes_of_row(const png_rows *r)
{
    return (pixels_of_row(r) * (size_t)r->l.bits + 7) / 8;
}

static void fill_blank(const png_rows *r, size_t from_row)
{
    size_t w = (size_t)r->im->w, end = w * (size_t)r->im->h;
    for (size_t i = w * from_row; i < end; i++)
        memcpy(r->im->rgb + 3 * i, r->blank, 3);
}

/* Rows that cover the image one after the other need no filling before. */
static int covers(const png_layout *l, const image *im)
{
    return !l->interlaced && l->w == (size_t)im->w && l->h == (size_t)im->h;
}

static void store_row(png_rows *r)
{
    const struct adam7 *p = &passes[r->pass];
    size_t w = (size_t)r->im->w;
    if (!r->blanked && !covers(&r->l, r->im)) { /* not before there is a row: files may be bombs */
        fill_blank(r, 0);
        r->blanked = 1;
    }
    if (r->l.interlaced) /* Pillow ignores the frame's offset here */
        put_pixels(&r->l, r->row + 1, r->im->rgb + (r->y * w + p->x) * 3, pixels_of_row(r),
                   3 * p->dx);
    else put_pixels(&r->l, r->row + 1, r->im->rgb + ((r->y + r->l.y) * w + r->l.x) * 3, r->l.w, 3);
}

/* To the next row that has pixels; the first row of a pass has zeros above it. */
static int next_row(png_rows *r)
{
    if (!r->l.interlaced) return ++r->y < r->l.h;
    r->y += passes[r->pass].dy;
    while (r->y >= r->l.h || pixels_of_row(r) == 0) {
        if (++r->pass == 7) return 0;
        r->y = passes[r->pass].y;
        memset(r->row, 0, r->row_bytes + 1); /* becomes the row above */
    }
    return 1;
}

/* The row in r->row is complete.  *more = 0 after the last one. */
static int finish_row(png_rows *r, int *more)
{
    uint8_t *t = r->row;
    size_t bpp = (size_t)(r->l.bits + 7) / 8;
    if (unfilter(t[0], t + 1, r->above + 1, bytes_of_row(r), bpp) != 0)
        return err_set(ERR_INPUT, "%s: PNG: row filter %d does not exist (row %zu)", r->name, t[0],
                       r->y);
    store_row(r);
    *more = next_row(r);
    r->got = 0;
    r->row = r->above;
    r->above = t;
    return 0;
}

static int zlib_refuses(const png_rows *r, int err)
{
    return err_set(err == Z_MEM_ERROR ? ERR_ENV : ERR_INPUT,
                   "%s: PNG: %s in the image data (byte %lu of it)", r->name,
                   r->z.msg != NULL ? r->z.msg : "zlib error", r->z.total_in);
}

int png_rows_feed(png_rows *r, const uint8_t *bytes, size_t n, enum png_fed *state)
{
    *state = PNG_MORE;
    r->z.next_in = (z_const Bytef *)(uintptr_t)bytes;
    r->z.avail_in = (uInt)n;
    while (r->z.avail_in > 0) {
        size_t need = bytes_of_row(r) + 1;
        int more = 1, rc, err;
        r->z.next_out = r->row + r->got;
        r->z.avail_out = (uInt)(need - r->got);
        err = inflate(&r->z, Z_NO_FLUSH);
        if (err < 0) return zlib_refuses(r, err);
        if (r->z.avail_out > 0) {
            r->got = need - r->z.avail_out;
            return 0;
        }
        rc = finish_row(r, &more);
        if (rc < 0) return rc;
        if (!more || err == Z_STREAM_END) {
            if (covers(&r->l, r->im)) fill_blank(r, r->y);
            *state = PNG_DONE;
            return 0;
        }
    }
    return 0;
}

int png_rows_new(png_rows **out, const png_layout *layout, image *im, const char *name)
{
    static const uint8_t zero[8] = {0};
    int rc = 0;
    png_rows *r = NULL;
    TRY(mem_new(&r, 1, sizeof *r, name));
    r->l = *layout;
    r->im = im;
    r->name = name;
    r->row_bytes = (layout->w * (size_t)layout->bits + 7) / 8;
    TRY(mem_new(&r->row, r->row_bytes + 1, 1, name));
    TRY(mem_new(&r->above, r->row_bytes + 1, 1, name));
    CHECK(inflateInit(&r->z) == Z_OK, ERR_ENV, "%s: PNG: no memory for inflate", name);
    r->z_open = 1;
    put_pixels(layout, zero, r->blank, 1, 3);
    *out = r;
    r = NULL;
done:
    png_rows_free(&r);
    return rc;
}

void png_rows_free(png_rows **r)
{
    if (*r == NULL) return;
    if ((*r)->z_open) inflateEnd(&(*r)->z);
    free((*r)->row);
    free((*r)->above);
    free(*r);
    *r = NULL;
}
