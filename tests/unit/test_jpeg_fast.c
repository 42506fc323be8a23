/* Our JPEG decoder against libjpeg-turbo: files that libjpeg writes here from noise and
 * gradients, all subsamplings, many sizes and qualities, whole and through windows; the inverse
 * DCT of each vector width against the plain formula (models.md 11.1); damage in each byte. */
#include "extract/images/jpeg_fast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

#include "common/err.h"
#include "extract/images/image_parts.h"

static uint64_t seed = 1;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct made {
    int w, h, channels, quality, sx, sy, optimise;
    unsigned noise;
    unsigned char *bytes;
    unsigned long n;
} made;

static void make_file(made *m)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    uint8_t *row = malloc((size_t)m->w * 3);
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &m->bytes, &m->n);
    c.image_width = (JDIMENSION)m->w;
    c.image_height = (JDIMENSION)m->h;
    c.input_components = m->channels;
    c.in_color_space = m->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, m->quality, TRUE);
    c.optimize_coding = m->optimise;
    if (m->channels == 3) {
        c.comp_info[0].h_samp_factor = m->sx;
        c.comp_info[0].v_samp_factor = m->sy;
    }
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

static void window(void *ctx, int w, int h, image_window *out)
{
    const image_window *k = ctx;
    assert_true(out->x0 == 0 && out->y0 == 0 && out->x1 == w && out->y1 == h);
    if (k->x1 > 0) *out = *k;
}

static void compare(const made *m, image *ours, const image *plain, image_window w)
{
    image_wish wish = {window, &w};
    jpeg_head head;
    assert_int_equal(jpeg_head_read(&head, m->bytes, m->n, "made"), 0);
    assert_int_equal(jpeg_fast_decode(ours, m->bytes, m->n, &head, &wish, "made"), 1);
    assert_int_equal(ours->w, m->w);
    assert_int_equal(ours->h, m->h);
    if (w.x1 == 0) w = (image_window){0, m->w, 0, m->h};
    for (int y = w.y0; y < w.y1; y++) {
        size_t at = ((size_t)y * (size_t)m->w + (size_t)w.x0) * 3;
        if (memcmp(ours->rgb + at, plain->rgb + at, 3 * (size_t)(w.x1 - w.x0)) != 0)
            fail_msg(
                "%d x %d, %d channels, %dx%d, quality %d, noise %u: row %d of window %d-%d, %d-%d",
                m->w, m->h, m->channels, m->sx, m->sy, m->quality, m->noise, y, w.x0, w.x1, w.y0,
                w.y1);
    }
}

static void test_files(void **state)
{
    static const unsigned noises[] = {1, 9, 255};
    image ours = {0}, plain = {0};
    (void)state;
    for (int i = 0; i < 240; i++) {
        made m = {.w = 16 + (int)draw(i % 9 ? 60 : 700),
                  .h = 8 + (int)draw(i % 8 ? 60 : 500),
                  .channels = i % 7 == 0 ? 1 : 3,
                  .quality = 1 + (int)draw(100),
                  .sx = 1 + i % 2,
                  .sy = 1 + i / 2 % 2,
                  .optimise = i % 3 == 0,
                  .noise = noises[i % 3]};
        make_file(&m);
        err_clear();
        assert_int_equal(jpeg_decode_plain(&plain, m.bytes, m.n, "made"), 0);
        compare(&m, &ours, &plain, (image_window){0});
        for (int k = 0; k < 4; k++) {
            image_window w;
            w.x0 = (int)draw((unsigned)m.w);
            w.x1 = w.x0 + 1 + (int)draw((unsigned)(m.w - w.x0));
            w.y0 = (int)draw((unsigned)m.h);
            w.y1 = w.y0 + 1 + (int)draw((unsigned)(m.h - w.y0));
            compare(&m, &ours, &plain, w);
        }
        free(m.bytes);
    }
    image_clear(&ours);
    image_clear(&plain);
}

/* Damaged files: whatever ours takes, libjpeg must take with the same pixels. */
static void test_damage(void **state)
{
    image ours = {0}, plain = {0};
    int taken = 0, tried = 0;
    (void)state;
    for (int i = 0; i < 8; i++) {
        made m = {.w = 16 + (int)draw(30),
                  .h = 8 + (int)draw(30),
                  .channels = i == 3 ? 1 : 3,
                  .quality = 30 + 10 * i,
                  .sx = 1 + i % 2,
                  .sy = 1 + i / 2 % 2,
                  .optimise = i % 3 == 0,
                  .noise = 40};
        make_file(&m);
        for (size_t k = 3; k < m.n; k++) /* image_decode looks at the first three */
            for (int v = 0; v < 4; v++) {
                uint8_t was = m.bytes[k];
                jpeg_head head;
                m.bytes[k] = (uint8_t)(v == 0   ? was ^ 1 << draw(8)
                                       : v == 1 ? 255
                                       : v == 2 ? 0
                                                : (int)draw(256));
                err_clear();
                if (jpeg_head_read(&head, m.bytes, m.n, "made") == 0 && head.w * head.h < 1 << 22) {
                    tried++;
                    if (jpeg_fast_decode(&ours, m.bytes, m.n, &head, NULL, "made") == 1) {
                        taken++;
                        if (jpeg_decode_plain(&plain, m.bytes, m.n, "made") != 0)
                            fail_msg("byte %zu %02x to %02x: %s", k, was, m.bytes[k], err_text());
                        assert_true(plain.w == ours.w && plain.h == ours.h);
                        assert_memory_equal(plain.rgb, ours.rgb,
                                            (size_t)plain.w * (size_t)plain.h * 3);
                    }
                }
                m.bytes[k] = was;
            }
        free(m.bytes);
    }
    printf("# %d damaged files, %d taken by our decoder, the same pixels\n", tried, taken);
    assert_true(taken > 0 && taken < tried);
    image_clear(&ours);
    image_clear(&plain);
}

/* ---- inverse DCT ----------------------------------------------------------------------------- */

static void plain_1d(const int32_t *x, int32_t *y, int step, int shift)
{
    int32_t z1 = (x[2 * step] + x[6 * step]) * 4433, e2 = z1 - x[6 * step] * 15137,
            e3 = z1 + x[2 * step] * 6270;
    int32_t e0 = (x[0] + x[4 * step]) * 8192, e1 = (x[0] - x[4 * step]) * 8192, u[4], t[4];
    int32_t a = x[7 * step], b = x[5 * step], c = x[3 * step], d = x[step], z2, z3, z4, z5;
    u[0] = e0 + e3;
    u[3] = e0 - e3;
    u[1] = e1 + e2;
    u[2] = e1 - e2;
    z1 = (a + d) * -7373;
    z2 = (b + c) * -20995;
    z5 = (a + c + b + d) * 9633;
    z3 = (a + c) * -16069 + z5;
    z4 = (b + d) * -3196 + z5;
    t[0] = a * 2446 + z1 + z3;
    t[1] = b * 16819 + z2 + z4;
    t[2] = c * 25172 + z2 + z3;
    t[3] = d * 12299 + z1 + z4;
    for (int i = 0; i < 4; i++) {
        y[i * step] = (u[i] + t[3 - i] + (1 << (shift - 1))) >> shift;
        y[(7 - i) * step] = (u[i] - t[3 - i] + (1 << (shift - 1))) >> shift;
    }
}

static void plain_idct(const int16_t *block, const int16_t *quant, uint8_t *out)
{
    int32_t x[64], y[64];
    for (int i = 0; i < 64; i++)
        x[i] = block[i] * quant[i];
    for (int i = 0; i < 8; i++)
        plain_1d(x + i, y + i, 8, 11);
    for (int i = 0; i < 8; i++)
        plain_1d(y + 8 * i, x + 8 * i, 1, 18);
    for (int i = 0; i < 64; i++)
        out[i] = (uint8_t)(x[i] < -128 ? 0 : x[i] > 127 ? 255 : x[i] + 128);
}

static void check_idct(void (*idct)(jpeg_batch *, unsigned *))
{
    static jpeg_batch q;
    static _Alignas(64) int16_t quant[JPEG_BATCH][64];
    static int16_t block[JPEG_BATCH][64];
    uint8_t got[JPEG_BATCH][64], want[JPEG_BATCH][64];
    for (int round = 0; round < 3000; round++) {
        unsigned bad = 0;
        memset(&q, 0, sizeof q);
        memset(block, 0, sizeof block);
        for (int b = 0; b < JPEG_BATCH; b++) {
            q.block[b] = block[b];
            for (int i = 0; i < 64; i++) {
                quant[b][i] = (int16_t)(1 + draw(round % 2 ? 4 : 100));
                if (i == 0 || draw(64) < (unsigned)round % 64)
                    block[b][i] = (int16_t)((int)draw(800) / quant[b][i] - 400 / quant[b][i]);
            }
            q.quant[b] = quant[b];
            q.dst[b] = got[b];
            q.stride[b] = 8;
            plain_idct(block[b], quant[b], want[b]);
        }
        idct(&q, &bad);
        assert_int_equal(bad, 0);
        assert_memory_equal(got, want, sizeof got);
    }
    for (int k = 0; k < 4; k++) { /* the last good and the first bad value of each sign */
        static const int16_t edge[4] = {8191, -8192, 8192, -8193};
        unsigned bad = 0;
        memset(&q, 0, sizeof q);
        memset(block, 0, sizeof block);
        for (int b = 0; b < JPEG_BATCH; b++) {
            q.block[b] = block[b];
            q.quant[b] = quant[0];
            q.dst[b] = got[b];
            q.stride[b] = 8;
        }
        for (int i = 0; i < 64; i++)
            quant[0][i] = 1;
        block[k % JPEG_BATCH][k * 21] = edge[k];
        idct(&q, &bad);
        assert_int_equal(bad != 0, k >= 2);
    }
}

static void test_idct(void **state)
{
    (void)state;
    check_idct(jpeg_idct_avx2);
    if (__builtin_cpu_supports("avx512bw")) check_idct(jpeg_idct_avx512);
    else printf("# no AVX-512 here: only AVX2 checked\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_idct)};
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2")) {
        printf("1..0 # SKIP no AVX2: libjpeg-turbo decodes everything\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
