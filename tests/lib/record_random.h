/* A batch of records drawn at random: every field within what a loader may give, values beyond what
 * encoders write.  For kernels against kernels: nobody decodes these. */
#ifndef OUTPOST_TESTS_RECORD_RANDOM_H
#define OUTPOST_TESTS_RECORD_RANDOM_H

#include "kernels/record.h"

#include <stdlib.h>
#include <string.h>

typedef struct record_dice {
    uint64_t state;
    uint8_t *memory;
    size_t at;
} record_dice;

static unsigned record_draw(record_dice *k, unsigned n)
{
    k->state = k->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(k->state >> 33) % n;
}

/* Components of an image of w x h pixels, the MCUs about the window. */
static void random_planes(record_dice *k, record_image *d, int w, int h, uint8_t *base)
{
    int mx = 8 * d->sx, my = 8 * d->sy, x0 = d->x > 4 ? (d->x - 4) / mx : 0, y0 = d->y > 4 ? (d->y - 4) / my : 0;
    int x1 = (d->x + d->w + 4 + mx - 1) / mx, y1 = (d->y + d->h + 4 + my - 1) / my;
    size_t at = (size_t)d->planes * 128;
    uint32_t value = 0;
    if (x1 > (w + mx - 1) / mx) x1 = (w + mx - 1) / mx;
    if (y1 > (h + my - 1) / my) y1 = (h + my - 1) / my;
    for (int i = 0; i < d->planes; i++) {
        int sx = i == 0 ? d->sx : 1, sy = i == 0 ? d->sy : 1;
        record_plane *p = &d->plane[i];
        *p = (record_plane){.quant = (uint32_t)i * 128, .blocks = (uint32_t)at, .wide = (x1 - x0) * sx,
                            .high = (y1 - y0) * sy, .x = x0 * sx * 8, .y = y0 * sy * 8,
                            .width = i == 0 ? w : (w + d->sx - 1) / d->sx,
                            .height = i == 0 ? h : (h + d->sy - 1) / d->sy};
        at += (size_t)p->wide * (size_t)p->high * sizeof(record_block);
        for (int q = 0; q < 64; q++) {
            int16_t v = (int16_t)(1 + record_draw(k, 90));
            memcpy(base + p->quant + 2 * q, &v, 2);
        }
    }
    d->values = (uint32_t)at;
    for (int i = 0; i < d->planes; i++)
        for (int n = 0; n < d->plane[i].wide * d->plane[i].high; n++) {
            record_block b = {.at = value, .dc = (int16_t)((int)record_draw(k, 200) - 100)};
            unsigned density = record_draw(k, 64);
            b.wide = (uint16_t)(record_draw(k, 8) == 0 ? 2 : 1);
            for (int c = 1; c < 64; c++) {
                int16_t v = (int16_t)((int)record_draw(k, b.wide == 1 ? 256 : 1000) - (b.wide == 1 ? 128 : 500));
                if (record_draw(k, 64) >= density) continue;
                b.mask |= (uint64_t)1 << c;
                memcpy(base + d->values + value, &v, b.wide);
                value += b.wide;
            }
            memcpy(base + d->plane[i].blocks + (size_t)n * sizeof b, &b, sizeof b);
        }
    d->bytes = (uint32_t)record_aligned(d->values + value);
}

/* Weights of an axis over `in` pixels; sums stay within 32 bits. */
static void random_axis(record_dice *k, record_image *d, record_axis *a, int count, int in, uint8_t *base)
{
    int32_t *t;
    *a = (record_axis){.count = count, .most = in < 7 ? in : 7, .taps = d->bytes};
    t = (int32_t *)(void *)(base + a->taps);
    for (int i = 0; i < count; i++) {
        t[2 * i + 1] = 1 + (int)record_draw(k, (unsigned)a->most);
        t[2 * i] = (int)record_draw(k, (unsigned)(in - t[2 * i + 1] + 1));
        for (int n = 0; n < a->most; n++)
            t[2 * count + i * a->most + n] = (int)record_draw(k, 1 << 21) - (1 << 19);
    }
    d->bytes += (uint32_t)record_aligned((size_t)(count * (2 + a->most)) * sizeof *t);
}

/* Image i of out_h x out_w pixels, behind those that are there. */
static void random_record(record_dice *k, record_image *d, int out_h, int out_w)
{
    uint8_t *base = k->memory + k->at;
    unsigned kind = record_draw(k, 6);
    int w = 16 + (int)record_draw(k, 90), h = 8 + (int)record_draw(k, 90);
    memset(d, 0, sizeof *d);
    d->at = k->at;
    d->kind = kind == 0 ? RECORD_EMPTY : kind == 1 ? RECORD_PIXELS : RECORD_JPEG;
    if (d->kind == RECORD_PIXELS) {
        d->bytes = (uint32_t)(out_h * out_w * 3);
        for (uint32_t i = 0; i < d->bytes; i++)
            base[i] = (uint8_t)record_draw(k, 256);
    } else if (d->kind == RECORD_JPEG) {
        d->planes = record_draw(k, 4) == 0 ? 1 : 3;
        d->sx = d->planes == 1 ? 1 : 1 + (int)record_draw(k, 2);
        d->sy = d->planes == 1 ? 1 : 1 + (int)record_draw(k, 2);
        d->w = 1 + (int)record_draw(k, (unsigned)w);
        d->h = 1 + (int)record_draw(k, (unsigned)h);
        d->x = (int)record_draw(k, (unsigned)(w - d->w + 1));
        d->y = (int)record_draw(k, (unsigned)(h - d->h + 1));
        random_planes(k, d, w, h, base);
        d->cw = 1 + (int)record_draw(k, (unsigned)out_w);
        d->ch = 1 + (int)record_draw(k, (unsigned)out_h);
        if (d->cw <= d->w && record_draw(k, 3) == 0) d->w = d->cw; /* this axis is not resized */
        else random_axis(k, d, &d->across, d->cw, d->w, base);
        if (d->ch <= d->h && record_draw(k, 3) == 0) d->h = d->ch;
        else random_axis(k, d, &d->down, d->ch, d->h, base);
        d->to_x = (int)record_draw(k, (unsigned)(out_w - d->cw + 1));
        d->to_y = (int)record_draw(k, (unsigned)(out_h - d->ch + 1));
    }
    k->at += record_aligned(d->bytes);
}

/* n images in new memory, of *bytes; the caller frees. */
static record_image *random_batch(uint64_t seed, size_t n, int out_h, int out_w, size_t *bytes)
{
    record_dice k = {.state = seed, .at = record_aligned(n * sizeof(record_image))};
    size_t room = k.at + n * (256u << 10);
    k.memory = aligned_alloc(64, (room + 63) / 64 * 64);
    if (k.memory == NULL) return NULL;
    memset(k.memory, 0, room);
    for (size_t i = 0; i < n; i++)
        random_record(&k, (record_image *)(void *)k.memory + i, out_h, out_w);
    *bytes = k.at;
    return (record_image *)(void *)k.memory;
}

#endif
