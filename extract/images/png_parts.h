/* Between png.c (chunks) and those that make pixels: png_lib.c with png_stored.c, png_rows.c. */
#ifndef OUTPOST_PNG_PARTS_H
#define OUTPOST_PNG_PARTS_H

#include "extract/images/image.h"

/* How the samples of a row become RGB; the names are Pillow's modes. */
typedef enum png_mode {
    PNG_NONE,
    PNG_GREY,    /* 1, 2, 4, 8 bits: 0..max spread over 0..255 */
    PNG_GREY16,  /* clipped at 255 */
    PNG_PALETTE, /* 1, 2, 4, 8 bits */
    PNG_GREYA,   /* 8 bits; alpha dropped */
    PNG_GREYA16, /* high byte */
    PNG_RGB,
    PNG_RGB16, /* high byte */
    PNG_RGBA,
    PNG_RGBA16
} png_mode;

typedef struct png_layout {
    png_mode mode;
    int bits;              /* of one pixel in the file */
    int interlaced;        /* Adam7 */
    size_t x, y, w, h;     /* where the rows go in the image */
    uint8_t table[256][3]; /* sample -> RGB for up to 8 bits: palette or grey ramp */
} png_layout;

/* Reads the whole file through libpng: 1, or 0 where libpng refuses it, warns of it, or gets no
 * memory; im->rgb is then undefined.  For layouts whose rows cover the image.  The payload of the
 * first IDAT begins at byte `data`. */
int png_lib_read(const png_layout *layout, image *im, const uint8_t *bytes, size_t n, size_t data);

enum { PNG_STORED_BYTES = 65535 + 23 };

/* Rewrites an IDAT chunk that holds a whole zlib stream of at most 65535 bytes, inflated: the same
 * in a stored block, its own checksum empty: the old one has been looked at.  chunk points at the chunk's length, the file has n bytes from there on.
 * Writes up to PNG_STORED_BYTES to out and returns how many, *taken is the size of the old chunk;
 * returns 0 where the data is more, or not sound. */
size_t png_store(const uint8_t *chunk, size_t n, uint8_t *out, size_t *taken);

enum png_fed { PNG_MORE, PNG_DONE };

typedef struct png_rows png_rows;

/* Gets ready for the rows.  Pixels that no row reaches become what sample 0 stands for. */
int png_rows_new(png_rows **out, const png_layout *layout, image *im, const char *name);
/* Takes the next bytes of the zlib stream; *state = PNG_DONE after the last row, or where the
 * stream ends together with a row.  The rest of the image then stays at sample 0, as Pillow
 * leaves it. */
int png_rows_feed(png_rows *r, const uint8_t *bytes, size_t n, enum png_fed *state);
void png_rows_free(png_rows **r);

#endif
