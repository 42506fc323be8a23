/* A single baseline scan to samples: blocks go to the inverse DCT while they are in the cache, and
 * those outside the window only pass on their DC coefficient. */
#include "extract/images/jpeg_scan.h"
#include "extract/images/jpeg_lanes.h"

#include <string.h>

#if defined(__AVX2__)

typedef struct painter {
    const jpeg_frame *f;
    const jpeg_mcu *mcu;
    jpeg_range r;
    void (*idct)(jpeg_batch *, unsigned *);
    int dc[JPEG_COMPONENTS];
    unsigned bad;
    jpeg_batch batch;
} painter;

static void finish(painter *p)
{
    uint8_t spare[64];
    jpeg_batch *q = &p->batch;
    if (q->n == 0) return;
    for (int i = q->n; i < JPEG_BATCH; i++) { /* blocks of nothing go nowhere */
        q->block[i] = q->block[0];
        q->dst[i] = spare;
        q->stride[i] = 8;
        q->quant[i] = q->quant[0];
    }
    p->idct(q, &p->bad);
    q->n = 0;
}

static inline void one_block(painter *p, const jpeg_component *c, int x, int y,
                             const int16_t *block)
{
    jpeg_batch *q = &p->batch;
    q->block[q->n] = block;
    q->dst[q->n] = c->plane + ((size_t)y * c->stride + (size_t)x) * 8;
    q->stride[q->n] = c->stride;
    q->quant[q->n] = p->f->quant[c->quant];
    if (++q->n == JPEG_BATCH) finish(p);
}

static int paint(void *ctx, int y, int x, int count, int16_t *block)
{
    painter *p = ctx;
    int inside_y = y >= p->r.y0 && y < p->r.y1;
    for (int end = x + count; x < end; x++) {
        int inside = inside_y && x >= p->r.x0 && x < p->r.x1;
        for (int i = 0; i < p->mcu->slots; i++, block += 64) {
            int k = p->mcu->slot[i].component, dc = p->dc[k] += block[0];
            const jpeg_component *c = &p->f->c[k];
            p->bad |= (unsigned)(dc + 32768) & ~65535u; /* libjpeg keeps 16 bits of it */
            block[0] = (int16_t)dc;
            if (inside)
                one_block(p, c, x * c->h + p->mcu->slot[i].x, y * c->v + p->mcu->slot[i].y, block);
        }
    }
    finish(p); /* the blocks will not stay */
    return p->bad == 0;
}

int jpeg_scan_decode(const jpeg_frame *f, const jpeg_tables *t, const jpeg_scan *scan,
                     const jpeg_range *r, uint8_t *clean, int16_t *blocks)
{
    painter p;
    jpeg_mcu mcu;
    size_t n;
    const uint8_t *marker = jpeg_unstuff(scan->data, scan->bytes, clean, &n);
    if (marker == NULL || marker[1] != 0xd9) return 0;
    memset(clean + n, 0, JPEG_CLEAN_PAD);
    memset(&p, 0, sizeof p);
    jpeg_mcu_of(&mcu, f, t, scan);
    p.f = f;
    p.mcu = &mcu;
    p.r = *r;
    p.idct = __builtin_cpu_supports("avx512bw") ? jpeg_idct_avx512 : jpeg_idct_avx2;
    return jpeg_lanes_decode(f, &mcu, clean, n, blocks, paint, &p);
}
#endif
