/* Huffman-coded JPEG -> quantised coefficients, those of libjpeg-turbo's jpeg_read_coefficients.
 * ITU-T T.81 annexes B, F.2.2 and G.2: baseline, extended sequential and progressive, 8 bits a
 * sample, 1 to 4 components, any sampling factors, one scan or many, restart intervals.
 * Strict: a file that libjpeg would warn of, mend or refuse, or that lacks a part of any
 * coefficient, is not taken; the caller then asks libjpeg. */
#ifndef OUTPOST_JPEG_ENTROPY_H
#define OUTPOST_JPEG_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

enum {
    JPEG_COMPONENTS = 4,
    JPEG_LOOK = 11,      /* bits of a look-up */
    JPEG_SCANS_MAX = 64, /* more are left to libjpeg */
    JPEG_PIXELS_MAX =
        32 << 20,         /* likewise; pixels of the picture, and of all planes together by 4 */
    JPEG_CLEAN_PAD = 4096 /* zero bytes behind a scan: what an MCU of damaged data reads too far */
};

/* ---- Huffman tables (jpeg_huffman.c) --------------------------------------------------------- */

typedef enum jpeg_kind {
    JPEG_DC = 1,
    JPEG_AC,            /* sequential */
    JPEG_AC_PROGRESSIVE /* end-of-band runs */
} jpeg_kind;

/* look[next JPEG_LOOK bits]:
 *   value << 16 | run << 8 | bits          code and value both fit: drop `bits`, skip `run`, store
 *   JPEG_EOB_RUN << 8 | bits               end of block: the run leads out of any block
 *                                          (progressive: value = further blocks of the run)
 *   symbol << 16 | JPEG_SLOW | code bits   only the code fits; code bits 0: it is longer than
 * that */
typedef struct jpeg_huffman {
    uint32_t look[1 << JPEG_LOOK];
    int32_t max[18];    /* largest code of each length, -1: none; [17] stops every search */
    int32_t offset[17]; /* index of its symbol minus the code */
    uint8_t symbol[256];
    uint8_t counts[16]; /* as in the file; what the rest is made from */
    int made;           /* the jpeg_kind that the rest was made for, 0: none yet */
} jpeg_huffman;

enum { JPEG_SLOW = 0x80, JPEG_EOB_RUN = 128 };

/* Tables of the last file; most files share them, and they are made once. */
typedef struct jpeg_tables {
    jpeg_huffman dc[4], ac[4];
} jpeg_tables;

/* Takes a table as the file defines it: 16 counts and their n symbols. */
void jpeg_huffman_set(jpeg_huffman *t, const uint8_t *counts, const uint8_t *symbols, int n);
/* 1: ready to decode that kind; 0: no table for it. */
int jpeg_huffman_make(jpeg_huffman *t, jpeg_kind kind);

/* ---- headers (jpeg_segments.c) --------------------------------------------------------------- */

typedef struct jpeg_component {
    int id, h, v;                 /* sampling factors */
    int quant;                    /* table */
    int blocks_wide, blocks_high; /* of whole MCUs */
    int real_wide, real_high; /* blocks with samples of the picture: a scan of its own has these */
    int width, height;        /* real samples */
    int16_t *block;           /* [blocks_high][across][64], natural order */
    size_t across;            /* blocks_wide and one to spare */
    uint8_t *plane;           /* sample 0,0 */
    size_t stride;
} jpeg_component;

typedef struct jpeg_frame {
    int w, h, n; /* components: 1, 3 or 4 */
    int hmax, vmax, mcus_x, mcus_y;
    int progressive, jfif, adobe; /* adobe: the transform byte, -1: no marker */
    jpeg_component c[JPEG_COMPONENTS];
    _Alignas(32) int16_t quant[4][64]; /* natural order */
} jpeg_frame;

typedef struct jpeg_scan {
    int n, c[JPEG_COMPONENTS];                    /* components */
    int dc[JPEG_COMPONENTS], ac[JPEG_COMPONENTS]; /* their tables */
    int ss, se, ah, al;                           /* band, bits before and after */
    int restart;                                  /* MCUs an interval, 0: no restarts */
    const uint8_t *data;                          /* first byte of entropy-coded data */
    size_t bytes;                                 /* to the end of the file */
} jpeg_scan;

typedef struct jpeg_reader {
    jpeg_frame *f;
    jpeg_tables *t;
    const uint8_t *at, *end; /* the next marker */
    int scans, restart;
    unsigned quant_seen, huffman_seen[2]; /* bit per table; AC, DC */
    int8_t bits[JPEG_COMPONENTS][64];     /* low bits not yet known of each coefficient, -1: all */
} jpeg_reader;

enum { JPEG_OTHER = 0, JPEG_SCAN = 1, JPEG_END = 2 };

/* To the first scan: fills the frame and *s.  JPEG_SCAN or JPEG_OTHER. */
int jpeg_read_start(jpeg_reader *r, jpeg_frame *f, jpeg_tables *t, const uint8_t *bytes, size_t n,
                    jpeg_scan *s);
/* From r->at, behind a scan, to the next one; JPEG_END at the end marker of a complete picture. */
int jpeg_read_next(jpeg_reader *r, jpeg_scan *s);

/* ---- coefficients (jpeg_entropy_avx2.c) ------------------------------------------------------ */

/* int16_t's that the blocks of all components need; jpeg_place_blocks points the components into
 * memory of that many. */
size_t jpeg_blocks_room(const jpeg_frame *f);
void jpeg_place_blocks(jpeg_frame *f, int16_t *memory);

/* Whether this processor has what the decoder needs. */
int jpeg_entropy_present(void);

/* One sequential scan of all components without restarts: what jpeg_lanes.h is for. */
static inline int jpeg_is_single(const jpeg_frame *f, const jpeg_scan *s)
{
    return !f->progressive && s->n == f->n && s->restart == 0;
}

/* Reads all scans from *s on into the blocks, which need not be zeroed.  Scratch: clean,
 * s->bytes + JPEG_CLEAN_PAD bytes; lanes, for a single scan jpeg_lanes_room int16_t's, or NULL: one
 * block after the other.  1: the picture is complete; 0: not one for us. */
int jpeg_entropy_decode(jpeg_reader *r, jpeg_scan *s, uint8_t *clean, int16_t *lanes);

/* Copies up to the first marker, without the zeros stuffed behind each ff.  *bytes of it; the
 * marker's address, or NULL when the file ends first.  out has room for n bytes. */
const uint8_t *jpeg_unstuff(const uint8_t *s, size_t n, uint8_t *out, size_t *bytes);

/* ---- a whole file (jpeg_entropy.c) ----------------------------------------------------------- */

typedef struct jpeg_coefficients {
    jpeg_frame f; /* with the blocks of its components */
    jpeg_tables tables;
    int16_t *blocks;
    size_t blocks_room;
    uint8_t *clean;
    size_t clean_room;
    int16_t *lanes;
    size_t lanes_room;
    int plain; /* 1: one block after the other, for comparison */
} jpeg_coefficients;

/* 1: k->f and its blocks are the file's; 0: not one for us; negative: no memory.  A zeroed *k to
 * begin with; reused from file to file. */
int jpeg_coefficients_read(jpeg_coefficients *k, const uint8_t *bytes, size_t n, const char *name);
void jpeg_coefficients_clear(jpeg_coefficients *k);

#endif
