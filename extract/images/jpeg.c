/* JPEG through libjpeg-turbo, with its defaults (islow IDCT, fancy upsampling, block smoothing):
 * the pixels of Pillow's convert('RGB').  setjmp stays in this file.
 *
 * The source manager holds the whole file and suspends at its end, as Pillow's does: libjpeg then
 * never invents an end marker, and a file is accepted exactly when its last row could be decoded
 * with a byte to spare.  Errors after the last row that libjpeg merely warns of are ignored. */
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/image_parts.h"
#include "extract/images/jpeg_fast.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum {
    ROWS_AT_ONCE = 16,
    COEFFICIENT_BYTES_MAX = 768 << 20 /* libjpeg's own memory for a many-scan file */
};
/* A many-scan file may visit each pixel many times; this bounds the product. */
static const double scan_pixels_max = 4e9;

typedef struct session {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    struct jpeg_source_mgr src;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const uint8_t *bytes;
    const char *name;
    uint8_t *cmyk; /* ROWS_AT_ONCE rows of a four-component file */
    int rc;
} session;

static size_t place(const session *s)
{
    return s->src.next_input_byte == NULL ? 0 : (size_t)(s->src.next_input_byte - s->bytes);
}

static void on_error(j_common_ptr c)
{
    session *s = c->client_data;
    char words[JMSG_LENGTH_MAX];
    int code = c->err->msg_code == JERR_OUT_OF_MEMORY ? ERR_ENV : ERR_INPUT;
    c->err->format_message(c, words);
    if (c->err->msg_code == JERR_NO_BACKING_STORE)
        snprintf(words, sizeof words, "needs more than %d MiB of coefficients",
                 COEFFICIENT_BYTES_MAX >> 20);
    s->rc = err_set(code, "%s: JPEG: %s (byte %zu)", s->name, words, place(s));
    longjmp(s->escape, 1);
}

static void on_message(j_common_ptr c, int level)
{
    if (level < 0) c->err->num_warnings++; /* counted, never printed */
}

static void on_progress(j_common_ptr c)
{
    session *s = c->client_data;
    double pixels = (double)s->c.image_width * s->c.image_height;
    if (s->c.input_scan_number <= IMAGE_SCANS_MAX &&
        s->c.input_scan_number * pixels <= scan_pixels_max)
        return;
    s->rc =
        err_set(ERR_INPUT, "%s: JPEG: %d scans of %u x %u pixels are above the limit (byte %zu)",
                s->name, s->c.input_scan_number, s->c.image_width, s->c.image_height, place(s));
    longjmp(s->escape, 1);
}

static void source_nothing(j_decompress_ptr c)
{
    (void)c;
}

static boolean source_at_end(j_decompress_ptr c)
{
    (void)c;
    return FALSE; /* suspend: there is no more */
}

static void source_skip(j_decompress_ptr c, long n)
{
    size_t left = c->src->bytes_in_buffer;
    size_t step = n < 0 ? 0 : (size_t)n > left ? left : (size_t)n;
    c->src->next_input_byte += step;
    c->src->bytes_in_buffer = left - step;
}

static void session_open(session *s, const uint8_t *bytes, size_t n, const char *name)
{
    memset(s, 0, sizeof *s);
    s->bytes = bytes;
    s->name = name;
    s->c.err = jpeg_std_error(&s->err);
    s->err.error_exit = on_error;
    s->err.emit_message = on_message;
    s->c.client_data = s;
    s->src.next_input_byte = bytes;
    s->src.bytes_in_buffer = n;
    s->src.init_source = source_nothing;
    s->src.fill_input_buffer = source_at_end;
    s->src.skip_input_data = source_skip;
    s->src.resync_to_restart = jpeg_resync_to_restart;
    s->src.term_source = source_nothing;
    s->progress.progress_monitor = on_progress;
}

/* CMYK as Pillow reads it, inverted whatever the Adobe marker says: with the four bytes c m y k of
 * libjpeg replaced by 255 - byte, R = clamp(255 - K' - D(C' * (255 - K'))), D the rounded /255. */
static void rgb_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int w)
{
    for (int x = 0; x < w; x++) {
        int nk = cmyk[4 * x + 3]; /* 255 - (255 - k) */
        for (int i = 0; i < 3; i++) {
            int t = (255 - cmyk[4 * x + i]) * nk + 128;
            int v = nk - ((t + (t >> 8)) >> 8);
            rgb[3 * x + i] = (uint8_t)(v < 0 ? 0 : v);
        }
    }
}

static int truncated(session *s)
{
    return err_set(ERR_INPUT, "%s: JPEG: file is truncated (byte %zu)", s->name, place(s));
}

/* Reads the next rows of the image; *got = 0 when libjpeg has no more bytes to go on. */
static void read_rows(session *s, image *im, int y, int *got)
{
    JSAMPROW row[ROWS_AT_ONCE];
    size_t w = (size_t)im->w;
    int n = im->h - y < ROWS_AT_ONCE ? im->h - y : ROWS_AT_ONCE;
    for (int i = 0; i < n; i++)
        row[i] = s->cmyk != NULL ? s->cmyk + (size_t)i * w * 4 : im->rgb + (size_t)(y + i) * w * 3;
    *got = (int)jpeg_read_scanlines(&s->c, row, (JDIMENSION)n);
    for (int i = 0; s->cmyk != NULL && i < *got; i++)
        rgb_from_cmyk(im->rgb + (size_t)(y + i) * w * 3, row[i], im->w);
}

static int decode(session *s, image *im, const jpeg_head *head)
{
    int got, rc = 0;
    if (setjmp(s->escape) != 0) return s->rc;
    jpeg_create_decompress(&s->c);
    s->c.src = &s->src;
    s->c.progress = &s->progress;
    s->c.mem->max_memory_to_use = COEFFICIENT_BYTES_MAX;
    do
        got = jpeg_read_header(&s->c, FALSE);
    while (got == JPEG_HEADER_TABLES_ONLY);
    if (got == JPEG_SUSPENDED) return truncated(s);
    CHECK(s->c.image_width == (JDIMENSION)head->w && s->c.image_height == (JDIMENSION)head->h,
          ERR_INPUT, "%s: JPEG: two frame headers disagree", s->name);
    s->c.out_color_space = head->layers == 4 ? JCS_CMYK : JCS_RGB;
    TRY(image_reserve(im, (size_t)head->w, (size_t)head->h, s->name));
    if (head->layers == 4) TRY(mem_new(&s->cmyk, (size_t)head->w * ROWS_AT_ONCE, 4, s->name));
    if (!jpeg_start_decompress(&s->c)) return truncated(s);
    for (int y = 0; y < im->h; y += got) {
        read_rows(s, im, y, &got);
        if (got == 0) return truncated(s);
    }
    jpeg_finish_decompress(&s->c); /* may lack the end marker; may find what follows broken */
done:
    return rc;
}

static int decode_known(image *im, const uint8_t *bytes, size_t n, const jpeg_head *head,
                        const char *name)
{
    int rc;
    session s;
    session_open(&s, bytes, n, name);
    rc = decode(&s, im, head);
    jpeg_destroy_decompress(&s.c);
    free(s.cmyk);
    return rc;
}

int jpeg_decode_plain(image *im, const uint8_t *bytes, size_t n, const char *name)
{
    jpeg_head head;
    int rc = jpeg_head_read(&head, bytes, n, name);
    return rc < 0 ? rc : decode_known(im, bytes, n, &head, name);
}

int jpeg_decode(image *im, const uint8_t *bytes, size_t n, const char *name, const image_wish *wish)
{
    int rc = 0;
    jpeg_head head;
    TRY(jpeg_head_read(&head, bytes, n, name));
    TRY(jpeg_fast_decode(im, bytes, n, &head, wish, name));
    rc = rc == 1 ? 0 : decode_known(im, bytes, n, &head, name);
done:
    return rc;
}
