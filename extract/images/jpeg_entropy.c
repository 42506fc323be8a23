/* Coefficients of a whole file in memory of their own. */
#include "extract/images/jpeg_entropy.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/jpeg_lanes.h"

#include <stdlib.h>

size_t jpeg_blocks_room(const jpeg_frame *f)
{
    size_t blocks = 0;
    for (int i = 0; i < f->n; i++)
        blocks += (size_t)f->c[i].blocks_high * ((size_t)f->c[i].blocks_wide + 1);
    return blocks * 64;
}

void jpeg_place_blocks(jpeg_frame *f, int16_t *memory)
{
    for (int i = 0; i < f->n; i++) {
        jpeg_component *c = &f->c[i];
        c->across = (size_t)c->blocks_wide + 1;
        c->block = memory;
        memory += (size_t)c->blocks_high * c->across * 64;
    }
}

int jpeg_coefficients_read(jpeg_coefficients *k, const uint8_t *bytes, size_t n, const char *name)
{
    int rc = 0;
    jpeg_reader r;
    jpeg_scan s;
    if (!jpeg_entropy_present() || n < 2 || bytes[0] != 0xff || bytes[1] != 0xd8) return 0;
    if (jpeg_read_start(&r, &k->f, &k->tables, bytes, n, &s) != JPEG_SCAN) return 0;
    TRY(mem_grow(&k->blocks, &k->blocks_room, jpeg_blocks_room(&k->f), sizeof *k->blocks, name));
    TRY(mem_grow(&k->clean, &k->clean_room, s.bytes + JPEG_CLEAN_PAD, 1, name));
    jpeg_place_blocks(&k->f, k->blocks);
    if (jpeg_is_single(&k->f, &s))
        TRY(mem_grow(&k->lanes, &k->lanes_room, jpeg_lanes_room(&k->f), sizeof *k->lanes, name));
    rc = jpeg_entropy_decode(&r, &s, k->clean, k->plain ? NULL : k->lanes);
done:
    return rc;
}

void jpeg_coefficients_clear(jpeg_coefficients *k)
{
    free(k->blocks);
    free(k->clean);
    free(k->lanes);
    *k = (jpeg_coefficients){.blocks = NULL};
}
