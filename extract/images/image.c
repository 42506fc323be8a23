/* Which decoder a file gets is told by its first bytes, never by its name. */
#include "extract/images/image.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/image_parts.h"
#include "extract/images/resize.h"

#include <stdlib.h>
#include <string.h>

/* A buffer that one huge image left behind is given back when small ones follow. */
enum { ROOM_KEPT = 64 << 20 };

static const struct magic {
    size_t at, n;
    const char *bytes, *what;
} others[] = {
    {0, 4, "GIF8", "a GIF"},
    {0, 2, "BM", "a BMP"},
    {8, 4, "WEBP", "a WebP"},
    {0, 4, "II*\0", "a TIFF"},
    {0, 4, "MM\0*", "a TIFF"},
    {0, 8, "\0\0\0\x0cjP  ", "a JPEG 2000"},
    {0, 4, "\xff\x4f\xff\x51", "a JPEG 2000 codestream"},
    {0, 2, "\xff\x0a", "a JPEG XL"},
    {0, 8, "\0\0\0\x0cJXL ", "a JPEG XL"},
    {4, 8, "ftypavif", "an AVIF"},
    {4, 4, "ftyp", "an ISO media (HEIF or video)"},
    {0, 4, "8BPS", "a Photoshop"},
    {0, 4, "\0\0\1\0", "an ICO"},
    {0, 4, "DDS ", "a DDS"},
    {0, 4, "qoif", "a QOI"},
    {0, 4, "\x76\x2f\x31\x01", "an OpenEXR"},
    {0, 2, "#?", "a Radiance HDR"},
    {0, 8, "\x8aMNG\r\n\x1a\n", "an MNG"},
    {0, 8, "\x8bJNG\r\n\x1a\n", "a JNG"},
    {0, 4, "%PDF", "a PDF"},
    {0, 2, "\x1f\x8b", "a gzip"},
    {0, 4, "PK\3\4", "a zip"},
    {0, 5, "<?xml", "an XML"},
    {0, 4, "<svg", "an SVG"},
    {0, 9, "<!DOCTYPE", "an HTML"},
};

static const char *name_of_format(const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const struct magic *m = &others[i];
        if (n >= m->at + m->n && memcmp(b + m->at, m->bytes, m->n) == 0) return m->what;
    }
    if (n >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '7' && strchr(" \t\r\n", b[2]) != NULL)
        return "a PNM";
    return NULL;
}

int image_decode(image *im, const uint8_t *bytes, size_t n, const char *name)
{
    return image_decode_part(im, bytes, n, name, NULL);
}

int image_decode_part(image *im, const uint8_t *bytes, size_t n, const char *name,
                      const image_wish *wish)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    const char *what;
    if (n >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
        return jpeg_decode(im, bytes, n, name, wish);
    if (n >= 8 && memcmp(bytes, png, 8) == 0) return png_decode(im, bytes, n, name);
    if (n == 0) return err_set(ERR_INPUT, "%s: empty file", name);
    what = name_of_format(bytes, n);
    if (what != NULL)
        return err_set(ERR_INPUT, "%s: %s file; only JPEG and PNG are read", name, what);
    return err_set(ERR_INPUT, "%s: neither JPEG nor PNG by its first bytes", name);
}

int image_reserve(image *im, size_t w, size_t h, const char *name)
{
    size_t need;
    if (w == 0 || h == 0) return err_set(ERR_INPUT, "%s: image of %zu x %zu pixels", name, w, h);
    if (w > IMAGE_PIXELS_MAX || h > (size_t)IMAGE_PIXELS_MAX / w)
        return err_set(ERR_INPUT, "%s: image of %zu x %zu pixels is above the limit of %d", name, w,
                       h, (int)IMAGE_PIXELS_MAX);
    need = w * h * 3;
    if (im->room < need || (im->room > ROOM_KEPT && need < im->room / 4)) {
        free(im->rgb);
        im->room = 0;
        im->rgb = malloc(need + RESIZE_SLACK);
        if (im->rgb == NULL)
            return err_set(ERR_ENV, "%s: no memory for an image of %zu x %zu pixels", name, w, h);
        im->room = need;
    }
    im->w = (int)w;
    im->h = (int)h;
    return 0;
}

void image_clear(image *im)
{
    free(im->rgb);
    free(im->work);
    free(im->png_work);
    *im = (image){0};
}
