/* Decodes an image file to RGB bytes, bit-identical to Pillow's Image.open(f).convert('RGB').
 * The format is told by content; libjpeg-turbo and libpng stay behind this header. */
#ifndef OUTPOST_IMAGE_H
#define OUTPOST_IMAGE_H

#include <stddef.h>
#include <stdint.h>

typedef struct image {
    int w, h;
    uint8_t *rgb;   /* [h, w, 3], and RESIZE_SLACK readable bytes behind it */
    size_t room;    /* bytes allocated at rgb; reused by the next decode into the same struct */
} image;

enum {
    IMAGE_PIXELS_MAX = 178956970, /* Pillow's decompression-bomb limit */
    IMAGE_SCANS_MAX = 500         /* scans of a progressive JPEG */
};

/* Decodes bytes.  ERR_INPUT when refused, with the rule and the byte offset where known; `name` is
 * for the message only.  The image may be reused for the next call. */
int image_decode(image *im, const uint8_t *bytes, size_t n, const char *name);
void image_clear(image *im);

#endif
