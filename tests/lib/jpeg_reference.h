/* Coefficients of a JPEG as libjpeg-turbo reads them, beside ours. */
#ifndef OUTPOST_TESTS_JPEG_REFERENCE_H
#define OUTPOST_TESTS_JPEG_REFERENCE_H

#include "extract/images/jpeg_entropy.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

typedef struct reference {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    jmp_buf escape;
    jvirt_barray_ptr *arrays;
} reference;

static void reference_error(j_common_ptr c)
{
    longjmp(((reference *)c->client_data)->escape, 1);
}

static void reference_message(j_common_ptr c, int level)
{
    c->err->num_warnings += level < 0;
}

/* 1: libjpeg has read them, warnings counted in r->err; 0: it refuses.  Closed in any case by
 * reference_close. */
static inline int reference_read(reference *r, const uint8_t *bytes, size_t n)
{
    memset(r, 0, sizeof *r);
    r->c.err = jpeg_std_error(&r->err);
    r->err.error_exit = reference_error;
    r->err.emit_message = reference_message;
    r->c.client_data = r;
    if (setjmp(r->escape) != 0) return 0;
    jpeg_create_decompress(&r->c);
    jpeg_mem_src(&r->c, bytes, (unsigned long)n);
    jpeg_read_header(&r->c, TRUE);
    r->arrays = jpeg_read_coefficients(&r->c);
    return 1;
}

static inline void reference_close(reference *r)
{
    jpeg_destroy_decompress(&r->c);
}

/* NULL when every block of ours is libjpeg's, those that only fill up MCUs too, and the tables are;
 * else what differs. */
static inline const char *reference_differs(reference *r, const jpeg_frame *f)
{
    static _Thread_local char text[160];
    if ((int)r->c.image_width != f->w || (int)r->c.image_height != f->h ||
        r->c.num_components != f->n)
        return "size or components";
    for (int i = 0; i < f->n; i++) {
        const jpeg_component *c = &f->c[i];
        const jpeg_component_info *info = &r->c.comp_info[i];
        if ((int)info->width_in_blocks != c->real_wide ||
            (int)info->height_in_blocks != c->real_high)
            return "blocks of a component";
        for (int k = 0; k < 64; k++)
            if (info->quant_table->quantval[k] != (uint16_t)f->quant[c->quant][k])
                return "quantisation";
        for (int y = 0; y < c->blocks_high; y++) {
            JBLOCKARRAY rows = r->c.mem->access_virt_barray((j_common_ptr)&r->c, r->arrays[i],
                                                            (JDIMENSION)y, 1, FALSE);
            for (int x = 0; x < c->blocks_wide; x++) {
                const int16_t *ours = c->block + ((size_t)y * c->across + (size_t)x) * 64;
                for (int k = 0; k < 64; k++)
                    if (rows[0][x][k] != ours[k]) {
                        snprintf(text, sizeof text,
                                 "component %d, block %d,%d, coefficient %d: libjpeg %d, ours %d",
                                 i, x, y, k, rows[0][x][k], ours[k]);
                        return text;
                    }
            }
        }
    }
    return NULL;
}

#endif
