/* The driver of jpeg_record.h: scratch, the layout of a record, which way a file goes. */
#include "extract/images/jpeg_record.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/jpeg_lanes.h"

#include <string.h>

#if defined(__x86_64__)

/* Scratch in image.work: tables, blocks, the scan without stuffing. */
typedef struct layout {
    jpeg_tables *tables;
    int16_t *blocks;
    uint8_t *clean;
} layout;

static int make_room(layout *l, image *im, const jpeg_frame *f, const jpeg_scan *s, const char *name)
{
    int rc = 0;
    size_t tables = (sizeof(jpeg_tables) + 63) / 64 * 64;
    size_t blocks = jpeg_is_single(f, s) ? jpeg_lanes_room(f) : jpeg_blocks_room(f);
    TRY(mem_grow(&im->work, &im->work_room,
                 tables + blocks * sizeof(int16_t) + s->bytes + JPEG_CLEAN_PAD, 1, name));
    l->tables = (jpeg_tables *)(void *)im->work;
    l->blocks = (int16_t *)(void *)(im->work + tables);
    l->clean = im->work + tables + blocks * sizeof(int16_t);
done:
    return rc;
}

/* Quantisers, then the blocks of each plane, then values.  Returns the number of blocks. */
static size_t lay_out(record_image *d, const jpeg_frame *f, const image_window *w, const jpeg_range *r)
{
    size_t blocks = 0, at = (size_t)f->n * 128;
    *d = (record_image){.kind = RECORD_JPEG,
                        .planes = f->n,
                        .sx = f->hmax,
                        .sy = f->vmax,
                        .x = w->x0,
                        .y = w->y0,
                        .w = w->x1 - w->x0,
                        .h = w->y1 - w->y0};
    for (int i = 0; i < f->n; i++) {
        const jpeg_component *c = &f->c[i];
        record_plane *p = &d->plane[i];
        *p = (record_plane){.quant = (uint32_t)i * 128,
                            .blocks = (uint32_t)(at + blocks * sizeof(record_block)),
                            .wide = (r->x1 - r->x0) * c->h,
                            .high = (r->y1 - r->y0) * c->v,
                            .x = r->x0 * c->h * 8,
                            .y = r->y0 * c->v * 8,
                            .width = c->width,
                            .height = c->height};
        blocks += (size_t)p->wide * (size_t)p->high;
    }
    d->values = (uint32_t)(at + blocks * sizeof(record_block));
    return blocks;
}

static void aim(jpeg_packer *p, const record_image *d, const jpeg_frame *f, const jpeg_range *r,
                uint8_t *bytes)
{
    memset(p, 0, sizeof *p);
    p->f = f;
    p->r = *r;
    p->pack = __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw")
                  ? jpeg_pack_block_avx512
                  : jpeg_pack_block_avx2;
    p->values = p->to = bytes + d->values;
    for (int i = 0; i < f->n; i++) {
        p->block[i] = (record_block *)(void *)(bytes + d->plane[i].blocks);
        p->wide[i] = d->plane[i].wide;
        memcpy(bytes + d->plane[i].quant, f->quant[f->c[i].quant], 128);
    }
}

int jpeg_record(record_image *d, record_memory *m, image *im, const uint8_t *bytes, size_t n,
                const jpeg_head *head, const image_wish *wish, const record_limits *limits,
                const char *name)
{
    int rc;
    jpeg_frame f;
    jpeg_reader reader;
    jpeg_scan scan;
    layout l;
    jpeg_range r;
    jpeg_packer p;
    size_t blocks;
    image_window w;
    rc = jpeg_open(im, &reader, &f, &scan, bytes, n, head, name);
    if (rc != 1) return rc;
    rc = 0;
    w = (image_window){0, f.w, 0, f.h};
    wish->window(wish->ctx, f.w, f.h, &w);
    jpeg_range_of(&f, &w, &r);
    blocks = lay_out(d, &f, &w, &r);
    if (blocks * 64 > limits->scratch || (size_t)d->w * (size_t)d->h * 3 > limits->scratch) return 0;
    TRY(make_room(&l, im, &f, &scan, name));
    TRY(mem_grow(&m->bytes, &m->room, d->values + blocks * JPEG_PACKED + JPEG_PACKED_PAD, 1, name));
    reader.t = l.tables;
    aim(&p, d, &f, &r, m->bytes);
    if (jpeg_is_single(&f, &scan)) {
        rc = jpeg_pack_scan(&p, l.tables, &scan, l.clean, l.blocks);
    } else {
        jpeg_place_blocks(&f, l.blocks);
        rc = jpeg_entropy_decode(&reader, &scan, l.clean, NULL) && jpeg_pack_frame(&p);
    }
    m->used = (size_t)(p.to - m->bytes);
done:
    jpeg_trim_work(im);
    return rc;
}

#else

int jpeg_record(record_image *d, record_memory *m, image *im, const uint8_t *bytes, size_t n,
                const jpeg_head *head, const image_wish *wish, const record_limits *limits,
                const char *name)
{
    (void)d, (void)m, (void)im, (void)bytes, (void)n, (void)head, (void)wish, (void)limits, (void)name;
    return 0;
}

#endif
