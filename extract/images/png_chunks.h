/* The chunk sequence of a PNG (png_chunks.c). */
#ifndef OUTPOST_PNG_CHUNKS_H
#define OUTPOST_PNG_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

enum png_trns { TRNS_NONE, TRNS_INDEX, TRNS_OTHER };

typedef struct png_chunks {
    const uint8_t *b;
    size_t n, at;
    const char *name;
    size_t w, h;
    int layout; /* index for png_layout_known, or -1 */
    int interlaced;
    const uint8_t *palette; /* PLTE before the image data, or NULL */
    size_t palette_bytes;
    enum png_trns trns;
    int has_frame;     /* APNG: fcTL before the image data */
    uint32_t frame[4]; /* x y w h */
    int64_t sequence;  /* of fcTL and fdAT; -1 before the first */
    uint32_t frames;   /* acTL; 0: none */
    int animated;      /* more than one frame */
    int data_found;
    int data_is_idat;  /* the image data begins with IDAT, not fdAT */
    size_t data_left;  /* of the current IDAT or fdAT */
    size_t text_bytes; /* of all text chunks, inflated */
} png_chunks;

/* Index of a layout (png.c) or -1. */
int png_layout_known(unsigned depth, unsigned colour);

void png_chunks_init(png_chunks *p, const uint8_t *bytes, size_t n, const char *name);
/* Up to the first byte of image data. */
int png_chunks_head(png_chunks *p);
/* Steps to the next data chunk when the current one is used up. */
int png_chunks_more_data(png_chunks *p);
/* From the end of the image data on: refuses what Pillow refuses there. */
int png_chunks_tail(png_chunks *p);

#endif
