/* Pictures to files, by the libraries that write such files everywhere. */
#include "common/err.h"
#include "datalists/demo/canvas.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

const char *encoding_suffix(encoding e)
{
    return e == PNG_RGB || e == PNG_PALETTE ? ".png" : ".jpg";
}

static uint8_t byte_of(double v)
{
    return (uint8_t)(clamp01(v) * 255.0 + 0.5);
}

/* n = 3: RGB, n = 1: luma. */
static void row_bytes(const canvas *c, int y, int n, uint8_t *row)
{
    for (int x = 0; x < c->w; x++) {
        const double *v = c->px[y * c->w + x].v;
        if (n == 1) row[x] = byte_of(0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2]);
        for (int i = 0; n == 3 && i < 3; i++)
            row[3 * x + i] = byte_of(v[i]);
    }
}

/* --- JPEG ------------------------------------------------------------------------------------- */
typedef struct jpeg_escape {
    struct jpeg_error_mgr base; /* first: libjpeg hands this pointer back */
    jmp_buf out;
} jpeg_escape;

static void jpeg_failed(j_common_ptr j)
{
    char why[JMSG_LENGTH_MAX];
    j->err->format_message(j, why);
    err_set(ERR_ENV, "JPEG: %s", why);
    longjmp(((jpeg_escape *)j->err)->out, 1);
}

static int write_jpeg(const canvas *c, encoding e, int quality, FILE *f)
{
    struct jpeg_compress_struct j;
    jpeg_escape escape;
    uint8_t row[3 * SIDE_MAX], *rows[1] = { row };
    j.err = jpeg_std_error(&escape.base);
    escape.base.error_exit = jpeg_failed;
    if (setjmp(escape.out)) {
        jpeg_destroy_compress(&j);
        return ERR_ENV;
    }
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, f);
    j.image_width = (JDIMENSION)c->w;
    j.image_height = (JDIMENSION)c->h;
    j.input_components = e == JPEG_GREY ? 1 : 3;
    j.in_color_space = e == JPEG_GREY ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, quality, TRUE);
    j.dct_method = JDCT_ISLOW; /* the one whose SIMD forms give the same bits */
    if (e == JPEG_444) j.comp_info[0].h_samp_factor = j.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&j, TRUE);
    while (j.next_scanline < j.image_height) {
        row_bytes(c, (int)j.next_scanline, j.input_components, row);
        jpeg_write_scanlines(&j, rows, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    return 0;
}

/* --- PNG -------------------------------------------------------------------------------------- */
enum { REDS = 6, GREENS = 7, BLUES = 6, COLOURS = REDS * GREENS * BLUES };

static int level(double v, int levels)
{
    return (int)(clamp01(v) * (levels - 1) + 0.5);
}

static void palette_row(const canvas *c, int y, uint8_t *row)
{
    for (int x = 0; x < c->w; x++) {
        const double *v = c->px[y * c->w + x].v;
        row[x] = (uint8_t)((level(v[0], REDS) * GREENS + level(v[1], GREENS)) * BLUES +
                           level(v[2], BLUES));
    }
}

static void palette_colours(png_color *p)
{
    for (int i = 0; i < COLOURS; i++) {
        p[i].red = (png_byte)(i / (GREENS * BLUES) * 255 / (REDS - 1));
        p[i].green = (png_byte)(i / BLUES % GREENS * 255 / (GREENS - 1));
        p[i].blue = (png_byte)(i % BLUES * 255 / (BLUES - 1));
    }
}

static void png_failed(png_structp png, png_const_charp why)
{
    err_set(ERR_ENV, "PNG: %s", why);
    png_longjmp(png, 1);
}

static void write_png_body(png_structp png, png_infop info, const canvas *c, encoding e)
{
    uint8_t row[3 * SIDE_MAX];
    png_color colours[COLOURS];
    png_set_IHDR(png, info, (png_uint_32)c->w, (png_uint_32)c->h, 8,
                 e == PNG_PALETTE ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (e == PNG_PALETTE) {
        palette_colours(colours);
        png_set_PLTE(png, info, colours, COLOURS);
    }
    png_write_info(png, info);
    for (int y = 0; y < c->h; y++) {
        if (e == PNG_PALETTE)
            palette_row(c, y, row);
        else
            row_bytes(c, y, 3, row);
        png_write_row(png, row);
    }
    png_write_end(png, info);
}

static int write_png(const canvas *c, encoding e, FILE *f)
{
    png_infop info = NULL;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, NULL);
    if (png != NULL) info = png_create_info_struct(png);
    if (info == NULL) {
        png_destroy_write_struct(&png, NULL);
        return err_set(ERR_ENV, "PNG: no memory");
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return ERR_ENV;
    }
    png_init_io(png, f);
    png_set_compression_level(png, 6);
    write_png_body(png, info, c, e);
    png_destroy_write_struct(&png, &info);
    return 0;
}

int encode_file(const canvas *c, encoding e, int quality, const char *path)
{
    int rc;
    FILE *f = fopen(path, "wb");
    if (f == NULL) return err_set(ERR_ENV, "%s: %s", path, strerror(errno));
    rc = e == PNG_RGB || e == PNG_PALETTE ? write_png(c, e, f) : write_jpeg(c, e, quality, f);
    if (fclose(f) != 0 && rc == 0) rc = err_set(ERR_ENV, "%s: %s", path, strerror(errno));
    return rc;
}
