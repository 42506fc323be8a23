/* Between image.c and the decoders behind it; nothing else includes this. */
#ifndef OUTPOST_IMAGE_PARTS_H
#define OUTPOST_IMAGE_PARTS_H

#include "extract/images/image.h"

/* Makes room for w x h pixels; contents undefined.  ERR_INPUT above IMAGE_PIXELS_MAX. */
int image_reserve(image *im, size_t w, size_t h, const char *name);

int jpeg_decode(image *im, const uint8_t *bytes, size_t n, const char *name,
                const image_wish *wish);
/* libjpeg-turbo alone, for comparison. */
int jpeg_decode_plain(image *im, const uint8_t *bytes, size_t n, const char *name);
int png_decode(image *im, const uint8_t *bytes, size_t n, const char *name);
/* The same with a choice.  try_lib 0: never through libpng, for comparison.  *by_lib = 1 when the
 * pixels are libpng's, 0 when png_rows.c read them. */
int png_decode_by(image *im, const uint8_t *bytes, size_t n, const char *name, int try_lib,
                  int *by_lib);

/* What Pillow's header walk learns before libjpeg sees the file (jpeg_head.c). */
typedef struct jpeg_head {
    int w, h;
    int layers; /* 1, 3 or 4 */
} jpeg_head;

/* ERR_INPUT where Pillow's JpegImagePlugin does not recognise the file. */
int jpeg_head_read(jpeg_head *head, const uint8_t *bytes, size_t n, const char *name);

/* Big-endian numbers at p. */
static inline unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}
static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif
