/* One file both ways: prep_decode on the CPU, and a record through the kernels' CPU twins. */
#ifndef OUTPOST_TESTS_RECORD_TWIN_H
#define OUTPOST_TESTS_RECORD_TWIN_H

#include "common/err.h"
#include "extract/images/record.h"
#include "extract/record_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct twin_ways {
    prep p;
    prep_scratch *s;
    image im;
    record_memory m;
    record_limits limits;
    record_decoder *d;
    record_batch b; /* of one image */
    size_t room;
    uint8_t *want;
} twin_ways;

static int twin_open(twin_ways *k, const char *recipe, int side)
{
    const prep_native native = {.side = side, .preset = "torchvision", .resize_short = side * 8 / 7,
                                .std = {1, 1, 1}};
    memset(k, 0, sizeof *k);
    if (prep_resolve(&k->p, recipe, &native) < 0 || prep_scratch_new(&k->s) < 0 ||
        record_decoder_new(&k->d, &k->p, 1) < 0)
        return -1;
    k->limits = record_limits_of(1, (size_t)k->p.out_h, (size_t)k->p.out_w);
    k->limits.one = 64u << 20;
    k->want = malloc((size_t)k->p.out_h * (size_t)k->p.out_w * 3);
    return k->want == NULL ? -1 : 0;
}

static void twin_close(twin_ways *k)
{
    record_decoder_free(&k->d);
    prep_scratch_free(&k->s);
    image_clear(&k->im);
    record_memory_clear(&k->m);
    free(k->b.images);
    free(k->want);
}

/* 1: a record, of the same bytes; 0: none for the kernels; -1: other bytes, or bytes of a file that the
 * CPU refuses; -2: no memory. */
static int twin_compare(twin_ways *k, const uint8_t *bytes, size_t n, const char *name)
{
    record_image d;
    const uint8_t *got;
    size_t out = (size_t)k->p.out_h * (size_t)k->p.out_w * 3, room;
    int rc;
    err_clear();
    rc = record_make(&d, &k->m, &k->p, k->s, &k->im, bytes, n, name, &k->limits);
    if (rc != 1) return rc < 0 ? -2 : 0;
    room = record_aligned(sizeof d) + k->m.used;
    if (room > k->room) {
        free(k->b.images);
        k->b.images = aligned_alloc(64, (room + 63) / 64 * 64);
        k->room = room;
        if (k->b.images == NULL) return -2;
    }
    d.at = record_aligned(sizeof d);
    k->b.images[0] = d;
    k->b.n = 1;
    memcpy((uint8_t *)k->b.images + d.at, k->m.bytes, k->m.used);
    if (record_decode(k->d, &k->b, 0, 1, &got) < 0) return -2;
    if (prep_decode(&k->p, k->s, &k->im, bytes, n, name, k->want) < 0) return -1;
    return memcmp(got, k->want, out) == 0 ? 1 : -1;
}

#endif
