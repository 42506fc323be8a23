/* Our coefficients against libjpeg-turbo's: files that libjpeg writes here, sequential and
 * progressive, in one scan and in many, all samplings, 1, 3 and 4 components, restarts, odd sizes;
 * damage in each byte; pixels of progressive files whole and through windows.
 *   test_jpeg_entropy DIR   writes such files there instead, small ones */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "extract/images/jpeg_fast.h"
#include "tests/lib/jpeg_files.h"
#include "tests/lib/jpeg_reference.h"

/* ---- tests ----------------------------------------------------------------------------------- */

/* One block after the other gives what reading from two places does. */
static int same_frames(const jpeg_frame *a, const jpeg_frame *b)
{
    int same = a->n == b->n && a->w == b->w && a->h == b->h;
    for (int i = 0; same && i < a->n; i++)
        for (int y = 0; same && y < a->c[i].blocks_high; y++)
            same = memcmp(a->c[i].block + (size_t)y * a->c[i].across * 64,
                          b->c[i].block + (size_t)y * b->c[i].across * 64,
                          (size_t)a->c[i].blocks_wide * 128) == 0;
    return same;
}

static void test_coefficients(void **state)
{
    static jpeg_coefficients k, plain = {.plain = 1};
    int kinds[2] = {0, 0};
    (void)state;
    for (int i = 0; i < 1500; i++) {
        made m = draw_file(i, i % 10 == 0 ? 300 : 70);
        reference r;
        const char *what;
        make_file(&m);
        assert_int_equal(reference_read(&r, m.bytes, m.n), 1);
        assert_int_equal(r.err.num_warnings, 0);
        if (jpeg_coefficients_read(&k, m.bytes, m.n, "made") != 1)
            fail_msg("file %d, %d x %d, %d channels: not taken", i, m.w, m.h, m.channels);
        what = reference_differs(&r, &k.f);
        if (what != NULL)
            fail_msg("file %d, %d x %d, %d channels, progressive %d: %s", i, m.w, m.h, m.channels,
                     m.progressive, what);
        assert_int_equal(jpeg_coefficients_read(&plain, m.bytes, m.n, "made"), 1);
        assert_true(same_frames(&k.f, &plain.f));
        kinds[k.f.progressive]++;
        reference_close(&r);
        free(m.bytes);
    }
    printf("# %d sequential and %d progressive files, the same coefficients\n", kinds[0], kinds[1]);
    assert_true(kinds[0] > 100 && kinds[1] > 100);
    jpeg_coefficients_clear(&k);
    jpeg_coefficients_clear(&plain);
}

/* Whatever ours takes of damaged files, libjpeg reads without a warning, with the same result. */
static void test_damage(void **state)
{
    static jpeg_coefficients k, plain = {.plain = 1};
    int tried = 0, taken = 0, ours;
    (void)state;
    for (int i = 0; i < 24; i++) {
        made m = draw_file(i, 40);
        make_file(&m);
        for (size_t at = 2; at < m.n; at++)
            for (int v = 0; v < 2; v++) {
                uint8_t was = m.bytes[at];
                const char *what;
                reference r;
                m.bytes[at] = (uint8_t)(v == 0 ? was ^ 1 << draw(8) : (int)draw(256));
                tried++;
                ours = jpeg_coefficients_read(&k, m.bytes, m.n, "made");
                assert_int_equal(jpeg_coefficients_read(&plain, m.bytes, m.n, "made"), ours);
                if (ours == 1) {
                    taken++;
                    what = !reference_read(&r, m.bytes, m.n) ? "libjpeg refuses"
                           : r.err.num_warnings != 0         ? "libjpeg warns"
                                                             : reference_differs(&r, &k.f);
                    if (what != NULL)
                        fail_msg("file %d, byte %zu %02x to %02x: %s", i, at, was, m.bytes[at],
                                 what);
                    reference_close(&r);
                }
                m.bytes[at] = was;
            }
        free(m.bytes);
    }
    printf("# %d damaged files, %d taken by our decoder, the same coefficients\n", tried, taken);
    assert_true(taken > 0 && taken < tried);
    jpeg_coefficients_clear(&k);
    jpeg_coefficients_clear(&plain);
}

/* Damage near the end of a single scan, where the lane that reads ahead stops for good. */
static void test_damaged_end(void **state)
{
    static jpeg_coefficients k;
    int taken = 0;
    (void)state;
    for (int i = 0; i < 6000; i++) {
        made m = {.w = 60, .h = 50, .channels = i % 2 ? 3 : 1, .quality = 60 + i % 40, .noise = 40};
        reference r;
        for (int c = 0; c < 4; c++)
            m.sx[c] = m.sy[c] = 1;
        make_file(&m);
        m.bytes[m.n - 3 - draw(60)] = (uint8_t)draw(255);
        if (jpeg_coefficients_read(&k, m.bytes, m.n, "made") == 1) {
            const char *what = NULL;
            taken++;
            if (!reference_read(&r, m.bytes, m.n) || r.err.num_warnings != 0)
                what = "libjpeg refuses or warns";
            else what = reference_differs(&r, &k.f);
            if (what != NULL) fail_msg("file %d: %s", i, what);
            reference_close(&r);
        }
        free(m.bytes);
    }
    printf("# 6000 files damaged near their end, %d taken, the same coefficients\n", taken);
    assert_true(taken > 0 && taken < 6000);
    jpeg_coefficients_clear(&k);
}

/* Files cut short anywhere are not taken. */
static void test_cut(void **state)
{
    static jpeg_coefficients k;
    (void)state;
    for (int i = 0; i < 6; i++) {
        made m = draw_file(i, 40);
        make_file(&m);
        for (unsigned long n = 0; n < m.n; n++) {
            uint8_t *copy = malloc(n > 0 ? n : 1); /* so that a sanitizer sees reads behind it */
            memcpy(copy, m.bytes, n);
            assert_int_equal(jpeg_coefficients_read(&k, copy, n, "made"), 0);
            free(copy);
        }
        free(m.bytes);
    }
    jpeg_coefficients_clear(&k);
}

static void window(void *ctx, int w, int h, image_window *out)
{
    const image_window *k = ctx;
    assert_true(out->x0 == 0 && out->y0 == 0 && out->x1 == w && out->y1 == h);
    if (k->x1 > 0) *out = *k;
}

static void test_pixels(void **state)
{
    image ours = {0}, plain = {0};
    int taken = 0;
    (void)state;
    for (int i = 0; i < 300; i++) {
        made m = draw_file(i, 120);
        jpeg_head head;
        if (m.channels == 4 || i % 8 == 7) continue;
        m.w += 15;
        m.h += 7;
        make_file(&m);
        err_clear();
        assert_int_equal(jpeg_decode_plain(&plain, m.bytes, m.n, "made"), 0);
        assert_int_equal(jpeg_head_read(&head, m.bytes, m.n, "made"), 0);
        for (int k = 0; k < 3; k++) {
            image_window w = {0};
            image_wish wish = {window, &w};
            if (k > 0) {
                w.x0 = (int)draw((unsigned)m.w);
                w.x1 = w.x0 + 1 + (int)draw((unsigned)(m.w - w.x0));
                w.y0 = (int)draw((unsigned)m.h);
                w.y1 = w.y0 + 1 + (int)draw((unsigned)(m.h - w.y0));
            }
            assert_int_equal(jpeg_fast_decode(&ours, m.bytes, m.n, &head, &wish, "made"), 1);
            taken++;
            if (w.x1 == 0) w = (image_window){0, m.w, 0, m.h};
            for (int y = w.y0; y < w.y1; y++) {
                size_t at = ((size_t)y * (size_t)m.w + (size_t)w.x0) * 3;
                assert_memory_equal(ours.rgb + at, plain.rgb + at, 3 * (size_t)(w.x1 - w.x0));
            }
        }
        free(m.bytes);
    }
    assert_true(taken > 300);
    image_clear(&ours);
    image_clear(&plain);
}

/* The files of the tests as seeds for the fuzzer. */
static int write_files(const char *dir)
{
    for (int i = 0; i < 120; i++) {
        made m = draw_file(i, 40);
        char path[4096];
        FILE *f;
        make_file(&m);
        snprintf(path, sizeof path, "%s/made-%d.jpg", dir, i);
        f = fopen(path, "wb");
        if (f == NULL || fwrite(m.bytes, 1, m.n, f) != m.n || fclose(f) != 0) return 1;
        free(m.bytes);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_coefficients),
                                       cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_damaged_end),
                                       cmocka_unit_test(test_cut), cmocka_unit_test(test_pixels)};
    if (argc == 2) return write_files(argv[1]);
    if (!jpeg_entropy_present()) {
        printf("1..0 # SKIP no AVX2 or BMI2: libjpeg-turbo decodes everything\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
