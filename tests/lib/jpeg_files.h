/* JPEG files that libjpeg writes in memory, drawn at random: 1, 3 and 4 components, usual and unusual
 * samplings, sequential and progressive, restarts, odd sizes. */
#ifndef OUTPOST_TESTS_JPEG_FILES_H
#define OUTPOST_TESTS_JPEG_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static uint64_t seed = 7;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

typedef struct made {
    int w, h, channels, quality, optimise, progressive, separate, restart, restart_rows;
    int sx[4], sy[4];
    unsigned noise;
    unsigned char *bytes;
    unsigned long n;
} made;

/* One scan a component, not interleaved. */
static void separate_scans(struct jpeg_compress_struct *c, jpeg_scan_info *scans)
{
    for (int i = 0; i < c->num_components; i++)
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1, .component_index = {i}, .Se = 63};
    c->scan_info = scans;
    c->num_scans = c->num_components;
}

static void make_file(made *m)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    jpeg_scan_info scans[4];
    uint8_t *row = malloc((size_t)m->w * 4);
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    m->bytes = NULL;
    jpeg_mem_dest(&c, &m->bytes, &m->n);
    c.image_width = (JDIMENSION)m->w;
    c.image_height = (JDIMENSION)m->h;
    c.input_components = m->channels;
    c.in_color_space = m->channels == 4 ? JCS_CMYK : m->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, m->quality, TRUE);
    c.optimize_coding = m->optimise;
    c.restart_interval = (unsigned)m->restart;
    c.restart_in_rows = m->restart_rows;
    for (int i = 0; i < m->channels; i++) {
        c.comp_info[i].h_samp_factor = m->sx[i];
        c.comp_info[i].v_samp_factor = m->sy[i];
    }
    if (m->progressive) jpeg_simple_progression(&c);
    else if (m->separate) separate_scans(&c, scans);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < m->h; y++) {
        for (int i = 0; i < m->w * m->channels; i++)
            row[i] = (uint8_t)((unsigned)(3 * i + 5 * y) / 4 + draw(m->noise));
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
}

static inline made draw_file(int i, unsigned side)
{
    static const unsigned noises[] = {1, 9, 60, 255};
    static const int channels[] = {3, 1, 3, 4, 3};
    made m = {.w = 1 + (int)draw(side),
              .h = 1 + (int)draw(side),
              .channels = channels[i % 5],
              .quality = 1 + (int)draw(100),
              .optimise = (int)draw(2),
              .progressive = i % 3 != 0,
              .separate = i % 3 == 0 && i % 2 == 0,
              .restart = draw(3) == 0 ? 1 + (int)draw(9) : 0,
              .noise = noises[draw(4)]};
    if (draw(6) == 0) m.restart_rows = 1;
    for (int k = 0; k < 4; k++)
        m.sx[k] = m.sy[k] = 1;
    m.sx[0] = 1 + i / 5 % 2;
    m.sy[0] = 1 + i / 10 % 2;
    if (i % 8 == 7) { /* factors that few encoders use; at most ten blocks an MCU */
        m.sx[0] = 1 << draw(3);
        m.sy[0] = m.sx[0] == 4 ? 1 : 1 + (int)draw(2);
        m.sx[1] = m.sx[0] > 1 ? 2 : 1;
        m.sy[2] = m.sy[0];
    }
    return m;
}

#endif
