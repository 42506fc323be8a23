/* Decodes an image file to RGB bytes, bit-identical to Pillow's Image.open(f).convert('RGB').
 * The format is told by content; libjpeg-turbo and libpng stay behind this header.  libpng reads
 * every PNG that it finds nothing wrong with; PNGs that only Pillow takes, and JPEGs of the common
 * kinds, are read by our own code, held equal to the libraries by tests. */
#ifndef OUTPOST_IMAGE_H
#define OUTPOST_IMAGE_H

#include <stddef.h>
#include <stdint.h>

typedef struct image {
    int w, h;
    uint8_t *rgb;  /* [h, w, 3], and RESIZE_SLACK readable bytes behind it */
    size_t room;   /* bytes allocated at rgb; reused by the next decode into the same struct */
    uint8_t *work; /* decoder's scratch, likewise */
    size_t work_room;
    uint8_t *png_work; /* all the memory that libpng gets, likewise */
    size_t png_room;
} image;

/* The pixels that are needed: columns x0 .. x1-1 of rows y0 .. y1-1. */
typedef struct image_window {
    int x0, x1, y0, y1;
} image_window;

/* Asked once the size is known; *out is all of the image beforehand. */
typedef struct image_wish {
    void (*window)(void *ctx, int w, int h, image_window *out);
    void *ctx;
} image_wish;

enum {
    IMAGE_PIXELS_MAX = 178956970, /* Pillow's decompression-bomb limit */
    IMAGE_SCANS_MAX = 500         /* scans of a progressive JPEG */
};

/* Decodes bytes.  ERR_INPUT when refused, with the rule and the byte offset where known; `name` is
 * for the message only.  The image may be reused for the next call. */
int image_decode(image *im, const uint8_t *bytes, size_t n, const char *name);
/* The same, when only a window of the pixels will be looked at: the others may be left undefined.
 * The verdict is that of image_decode.  wish NULL: all pixels. */
int image_decode_part(image *im, const uint8_t *bytes, size_t n, const char *name,
                      const image_wish *wish);
void image_clear(image *im);

#endif
