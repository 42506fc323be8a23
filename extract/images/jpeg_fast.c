/* The driver of our own decoder: scratch, which way a file goes, the rows of the window.  A single
 * baseline scan is transformed block by block as it is read; everything else becomes coefficients
 * first, of which the window's are transformed. */
#include "extract/images/jpeg_fast.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/jpeg_lanes.h"
#include "extract/images/jpeg_scan.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)

enum {
    WORK_KEPT = 64 << 20, /* scratch above this is not kept for the next image */
    MARGIN = 4            /* pixels that upsampling may look beyond the window */
};

/* Scratch in image.work: tables, rows of upsampled chroma, planes, blocks, the scan without
 * stuffing. */
typedef struct layout {
    jpeg_tables *tables;
    uint8_t *up[2];
    int16_t *blocks;
    uint8_t *clean;
    size_t bytes;
} layout;

static uint8_t *part(uint8_t *base, size_t *at, size_t bytes)
{
    uint8_t *p = base + *at;
    *at += (bytes + 63) / 64 * 64;
    return p;
}

/* Places everything; called once with base NULL for the size, once for good. */
static void place(layout *l, jpeg_frame *f, const jpeg_scan *s, int single, uint8_t *base)
{
    size_t at = 0, blocks;
    l->tables = (jpeg_tables *)(void *)part(base, &at, sizeof *l->tables);
    for (int i = 0; i < 2; i++)
        l->up[i] = part(base, &at, (size_t)f->mcus_x * (size_t)f->hmax * 8 + 64);
    for (int i = 0; i < f->n; i++) {
        jpeg_component *c = &f->c[i];
        size_t rows = (size_t)f->mcus_y * (size_t)c->v * 8;
        c->stride = ((size_t)c->blocks_wide * 8 + 2 * JPEG_PLANE_PAD + 63) / 64 * 64;
        c->plane = part(base, &at, rows * c->stride + 64) + JPEG_PLANE_PAD;
    }
    blocks = single ? jpeg_lanes_room(f) : jpeg_blocks_room(f);
    l->blocks = (int16_t *)(void *)part(base, &at, blocks * sizeof(int16_t));
    l->clean = part(base, &at, s->bytes + JPEG_CLEAN_PAD);
    l->bytes = at;
}

void jpeg_range_of(const jpeg_frame *f, const image_window *w, jpeg_range *r)
{
    int sx = 8 * f->hmax, sy = 8 * f->vmax;
    r->x0 = w->x0 > MARGIN ? (w->x0 - MARGIN) / sx : 0;
    r->x1 = (w->x1 + MARGIN + sx - 1) / sx;
    r->y0 = w->y0 > MARGIN ? (w->y0 - MARGIN) / sy : 0;
    r->y1 = (w->y1 + MARGIN + sy - 1) / sy;
    if (r->x1 > f->mcus_x) r->x1 = f->mcus_x;
    if (r->y1 > f->mcus_y) r->y1 = f->mcus_y;
}

/* ---- rows of pixels -------------------------------------------------------------------------- */

/* Row r of a component, clamped to the real rows, its ends repeated outwards. */
static uint8_t *sample_row(const jpeg_component *c, int r)
{
    uint8_t *s;
    if (r < 0) r = 0;
    if (r >= c->height) r = c->height - 1;
    s = c->plane + (size_t)r * c->stride;
    s[-1] = s[0];
    s[c->width] = s[c->width - 1];
    return s;
}

/* Chroma samples for pixels x0 (a multiple of 2) to x1 of row y: in place, or upsampled to `up`. */
static const uint8_t *chroma(const jpeg_frame *f, const jpeg_component *c, int y, int x0, int x1,
                             uint8_t *up)
{
    int near = y / f->vmax, far = y % 2 == 0 ? near - 1 : near + 1;
    if (f->hmax == 1 && f->vmax == 1) return sample_row(c, y) + x0;
    if (f->vmax == 1) jpeg_up_h2v1_avx2(sample_row(c, y), x0 / 2, (x1 + 1) / 2, up);
    else if (f->hmax == 2)
        jpeg_up_h2v2_avx2(sample_row(c, near), sample_row(c, far), x0 / 2, (x1 + 1) / 2, up);
    else
        jpeg_up_h1v2_avx2(sample_row(c, near) + x0, sample_row(c, far) + x0, x1 - x0,
                          y % 2 == 0 ? 1 : 2, up);
    return up;
}

static void make_rows(const jpeg_frame *f, const layout *l, const image_window *w, image *im)
{
    int x0 = w->x0 / 2 * 2, n = w->x1 - x0;
    for (int y = w->y0; y < w->y1; y++) {
        uint8_t *rgb = im->rgb + ((size_t)y * (size_t)im->w + (size_t)x0) * 3;
        const uint8_t *luma = f->c[0].plane + (size_t)y * f->c[0].stride + x0, *cb, *cr;
        if (f->n == 1) {
            jpeg_grey_avx2(luma, n, rgb);
            continue;
        }
        cb = chroma(f, &f->c[1], y, x0, w->x1, l->up[0]);
        cr = chroma(f, &f->c[2], y, x0, w->x1, l->up[1]);
        jpeg_rgb_avx2(luma, cb, cr, n, rgb);
    }
}

/* Samples of the wanted MCUs from their coefficients; 0 when a value is out of range. */
static int samples_of_blocks(const jpeg_frame *f, const jpeg_range *r)
{
    void (*idct)(jpeg_batch *, unsigned *) =
        __builtin_cpu_supports("avx512bw") ? jpeg_idct_avx512 : jpeg_idct_avx2;
    unsigned bad = 0;
    uint8_t spare[64];
    jpeg_batch q;
    memset(&q, 0, sizeof q);
    for (int i = 0; i < f->n; i++) {
        const jpeg_component *c = &f->c[i];
        for (int y = r->y0 * c->v; y < r->y1 * c->v; y++)
            for (int x = r->x0 * c->h; x < r->x1 * c->h; x += JPEG_BATCH) {
                for (int k = 0; k < JPEG_BATCH; k++) {
                    int inside = x + k < r->x1 * c->h;
                    size_t at = (size_t)y * c->across + (size_t)(x + k);
                    q.quant[k] = f->quant[c->quant];
                    q.stride[k] = inside ? c->stride : 8;
                    q.dst[k] =
                        inside ? c->plane + ((size_t)y * c->stride + (size_t)(x + k)) * 8 : spare;
                    q.block[k] = c->block + (inside ? at * 64 : 0);
                }
                idct(&q, &bad);
            }
    }
    return bad == 0;
}

/* Colour as libjpeg guesses it: JFIF or Adobe's transform 1, else component numbers 1 2 3. */
static int is_ycbcr(const jpeg_frame *f)
{
    const jpeg_component *c = f->c;
    if (f->n == 1 || f->jfif || f->adobe == 1) return 1;
    return f->adobe < 0 && c[0].id == 1 && c[1].id == 2 && c[2].id == 3;
}

int jpeg_has_pixels(const jpeg_frame *f)
{
    const jpeg_component *c = f->c;
    if (f->n == 3 &&
        (c[0].h > 2 || c[0].v > 2 || c[1].h != 1 || c[1].v != 1 || c[2].h != 1 || c[2].v != 1))
        return 0;
    return f->n != 4 && f->w >= 16 && f->h >= 8 && is_ycbcr(f);
}

int jpeg_open(image *im, jpeg_reader *r, jpeg_frame *f, jpeg_scan *s, const uint8_t *bytes, size_t n,
              const jpeg_head *head, const char *name)
{
    int rc = 0;
    if (!jpeg_entropy_present() || head->layers == 4) return 0;
    if (im->work_room < sizeof(jpeg_tables)) {
        TRY(mem_grow(&im->work, &im->work_room, sizeof(jpeg_tables), 1, name));
        memset(im->work, 0, sizeof(jpeg_tables));
    }
    rc = jpeg_read_start(r, f, (jpeg_tables *)(void *)im->work, bytes, n, s) == JPEG_SCAN &&
         f->w == head->w && f->h == head->h && jpeg_has_pixels(f);
done:
    return rc;
}

void jpeg_trim_work(image *im)
{
    if (im->work_room <= WORK_KEPT) return;
    free(im->work);
    im->work = NULL;
    im->work_room = 0;
}

int jpeg_fast_decode(image *im, const uint8_t *bytes, size_t n, const jpeg_head *head,
                     const image_wish *wish, const char *name)
{
    int rc = 0, single;
    jpeg_frame f;
    jpeg_reader reader;
    jpeg_scan scan;
    layout l;
    image_window w;
    jpeg_range r;
    rc = jpeg_open(im, &reader, &f, &scan, bytes, n, head, name);
    if (rc != 1) return rc;
    rc = 0;
    single = jpeg_is_single(&f, &scan);
    place(&l, &f, &scan, single, im->work);
    TRY(mem_grow(&im->work, &im->work_room, l.bytes, 1, name));
    place(&l, &f, &scan, single, im->work);
    reader.t = l.tables;
    TRY(image_reserve(im, (size_t)f.w, (size_t)f.h, name));
    w = (image_window){0, f.w, 0, f.h};
    if (wish != NULL) wish->window(wish->ctx, f.w, f.h, &w);
    jpeg_range_of(&f, &w, &r);
    if (single) {
        if (!jpeg_scan_decode(&f, l.tables, &scan, &r, l.clean, l.blocks)) goto done;
    } else {
        jpeg_place_blocks(&f, l.blocks);
        if (!jpeg_entropy_decode(&reader, &scan, l.clean, NULL) || !samples_of_blocks(&f, &r))
            goto done;
    }
    make_rows(&f, &l, &w, im);
    rc = 1;
done:
    jpeg_trim_work(im);
    return rc;
}

#else

int jpeg_fast_decode(image *im, const uint8_t *bytes, size_t n, const jpeg_head *head,
                     const image_wish *wish, const char *name)
{
    (void)im, (void)bytes, (void)n, (void)head, (void)wish, (void)name;
    return 0;
}

#endif
