/* PNG through libpng's row interface: files that libpng takes without a word.  setjmp stays in
 * this file.
 *
 * Every complaint of libpng, a warning too, ends the attempt; png.c then reads the file its own
 * way.  So no message is lost and no verdict is libpng's.  The pixels are Pillow's convert('RGB'):
 *   grey 1 2 4 8   spread over 0..255           grey 16       clipped at 255 (not scaled)
 *   palette        layout's table               others of 16  the high byte
 *   alpha, tRNS    dropped                      gamma, background  never applied
 * libpng reads from up to three spans: the data of a small image reaches it inflated (png_stored.c).
 * libpng allocates from one block in image.png_work with an end: what it asks beyond that, it does
 * not get.  Nothing is left behind by a longjmp, and the block serves the next image. */
#include "common/mem.h"
#include "extract/images/png_parts.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum {
    FIXED_BYTES = 192 << 10,   /* stored data, structs, inflate with its window, chunks */
    ROW_PIXEL_BYTES = 8,       /* the widest a pixel gets on its way: 16-bit RGBA */
    SIDE_MAX = 1000000,        /* libpng's own limit: it clears a row before it sees any data */
    CHUNK_BYTES_MAX = 8 << 20, /* of a chunk other than IDAT */
    CHUNKS_KEPT_MAX = 1        /* libpng's word for none; 0 would be no limit */
};

typedef struct span {
    const uint8_t *b;
    size_t n;
} span;

typedef struct reader {
    png_struct *png;
    png_info *info;
    const png_layout *l;
    image *im;
    span from[3]; /* what libpng takes for the file */
    int at;       /* the span it is in */
    size_t used;  /* of im->png_work */
    int odd;      /* libpng warned */
    jmp_buf escape;
} reader;

/* The next n bytes of the block, or NULL where it ends before. */
static uint8_t *take_room(reader *r, size_t n)
{
    uint8_t *p = r->im->png_work + r->used;
    if (n > r->im->png_room - r->used) return NULL;
    r->used += (n + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN; /* png_room is a multiple */
    return p;
}

/* ---- what libpng calls ----------------------------------------------------------------------- */

static void on_error(png_struct *png, const char *words)
{
    reader *r = png_get_error_ptr(png);
    (void)words;
    longjmp(r->escape, 1);
}

static void on_warning(png_struct *png, const char *words)
{
    reader *r = png_get_error_ptr(png);
    (void)words;
    r->odd = 1;
}

static void on_read(png_struct *png, uint8_t *to, size_t n)
{
    reader *r = png_get_io_ptr(png);
    while (n > 0) {
        span *s = &r->from[r->at];
        size_t step = n < s->n ? n : s->n;
        if (step == 0) {
            if (r->at == 2) png_error(png, "end of file");
            r->at++;
            continue;
        }
        memcpy(to, s->b, step);
        to += step;
        s->b += step;
        s->n -= step;
        n -= step;
    }
}

static void *on_alloc(png_struct *png, size_t n)
{
    reader *r = png_get_mem_ptr(png);
    return take_room(r, n);
}

/* The block is given up as a whole. */
static void on_free(png_struct *png, void *p)
{
    (void)png;
    (void)p;
}

/* One byte a sample -> RGB, or two bytes of grey -> RGB; in place, the row grows from its end. */
static void on_row(png_struct *png, png_row_info *row, uint8_t *s)
{
    const png_layout *l = png_get_user_transform_ptr(png);
    size_t i = row->width;
    if (l->mode == PNG_PALETTE) {
        while (i-- > 0)
            memcpy(s + 3 * i, l->table[s[i]], 3);
        return;
    }
    while (i-- > 0)
        memset(s + 3 * i, s[2 * i] != 0 ? 255 : s[2 * i + 1], 3);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static void set_limits(reader *r)
{
    png_set_user_limits(r->png, SIDE_MAX, SIDE_MAX);
    png_set_chunk_malloc_max(r->png, CHUNK_BYTES_MAX);
    png_set_chunk_cache_max(r->png, CHUNKS_KEPT_MAX);
    /* Up to the end of stored data all checksums have been looked at. */
    png_set_crc_action(r->png, r->from[1].n > 0 ? PNG_CRC_QUIET_USE : PNG_CRC_ERROR_QUIT,
                       PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(r->png, 0);
    /* All that libpng does not need for pixels: only its checksum is looked at. */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

static void set_transforms(reader *r)
{
    switch (r->l->mode) {
    case PNG_GREY:
        if (r->l->bits < 8) png_set_expand_gray_1_2_4_to_8(r->png);
        png_set_gray_to_rgb(r->png);
        break;
    case PNG_PALETTE:
        png_set_check_for_invalid_index(r->png, 0); /* the table has an answer for each */
        png_set_packing(r->png);
        /* fall through */
    case PNG_GREY16:
        png_set_read_user_transform_fn(r->png, on_row);
        png_set_user_transform_info(r->png, (void *)(uintptr_t)r->l, 8, 3);
        break;
    case PNG_GREYA16:
        png_set_strip_16(r->png);
        /* fall through */
    case PNG_GREYA:
        png_set_strip_alpha(r->png);
        png_set_gray_to_rgb(r->png);
        break;
    case PNG_RGB16:
    case PNG_RGBA16:
        png_set_strip_16(r->png);
        /* fall through */
    case PNG_RGBA:
        png_set_strip_alpha(r->png);
        break;
    case PNG_RGB:
    case PNG_NONE:
        break;
    }
}

static void read_image(reader *r)
{
    size_t stride = (size_t)r->im->w * 3;
    int passes;
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_alloc,
                                      on_free);
    if (r->png == NULL) longjmp(r->escape, 1);
    r->info = png_create_info_struct(r->png);
    if (r->info == NULL) longjmp(r->escape, 1);
    png_set_read_fn(r->png, r, on_read);
    set_limits(r);
    png_read_info(r->png, r->info);
    set_transforms(r);
    passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_image_width(r->png, r->info) != (png_uint_32)r->im->w ||
        png_get_image_height(r->png, r->info) != (png_uint_32)r->im->h ||
        png_get_rowbytes(r->png, r->info) != stride)
        png_error(r->png, "not the image that the chunks told of");
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < (size_t)r->im->h; y++)
            png_read_row(r->png, r->im->rgb + y * stride, NULL);
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_end(r->png, NULL);
}

/* Nothing of this frame changes behind setjmp, so nothing needs to be volatile. */
static int try_image(reader *r)
{
    if (setjmp(r->escape) != 0) return 0;
    read_image(r);
    return !r->odd;
}

static int make_room(image *im)
{
    size_t need = FIXED_BYTES + ((size_t)im->w + 16) * 2 * ROW_PIXEL_BYTES;
    need = (need + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    if (im->w > SIDE_MAX || im->h > SIDE_MAX) return 0;
    if (im->png_room >= need) return 1;
    free(im->png_work);
    im->png_work = aligned_alloc(MEM_ALIGN, need);
    im->png_room = im->png_work != NULL ? need : 0;
    return im->png_work != NULL;
}

/* Where the image data begins at `data` and is small, it is replaced by the same in a stored
 * block. */
static void set_source(reader *r, const uint8_t *bytes, size_t n, size_t data)
{
    size_t row = (r->l->w * (size_t)r->l->bits + 7) / 8 + 1, chunk = data - 8, taken, size = 0;
    r->from[0] = (span){bytes, n};
    if (row * r->l->h <= PNG_STORED_BYTES) {
        uint8_t *out = take_room(r, PNG_STORED_BYTES);
        size = png_store(bytes + chunk, n - chunk, out, &taken);
        if (size > 0) {
            r->from[0].n = chunk;
            r->from[1] = (span){out, size};
            r->from[2] = (span){bytes + chunk + taken, n - chunk - taken};
        }
    }
}

int png_lib_read(const png_layout *layout, image *im, const uint8_t *bytes, size_t n, size_t data)
{
    reader r = {.l = layout, .im = im};
    int taken;
    if (!make_room(im)) return 0;
    set_source(&r, bytes, n, data);
    taken = try_image(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return taken;
}
