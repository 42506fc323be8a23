/* image.c, jpeg.c, png.c: small files with Pillow's verdict and pixels (image_cases.h), limits, and
 * every prefix of good files.  Nothing may crash; what Pillow refuses is refused. */
#include "extract/images/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/err.h"
#include "tests/unit/image_cases.h"

enum { CASES = sizeof image_cases / sizeof *image_cases };

/* Bytes of a base64 text, in memory of exactly their size so that a sanitiser sees each
 * over-read. */
static uint8_t *from_base64(const char *s, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(s), k = 0;
    uint8_t *p = malloc(length), *exact;
    uint32_t bits = 0;
    int have = 0;
    assert_non_null(p);
    for (; *s != '\0' && *s != '='; s++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *s) - digits);
        have += 6;
        if (have >= 8) p[k++] = (uint8_t)(bits >> (have -= 8));
    }
    exact = malloc(k > 0 ? k : 1);
    assert_non_null(exact);
    memcpy(exact, p, k);
    free(p);
    *n = k;
    return exact;
}

static int decode(image *im, const uint8_t *bytes, size_t n)
{
    err_clear();
    return image_decode(im, bytes, n, "case");
}

static uint32_t crc_of(const image *im)
{
    return (uint32_t)crc32(0, im->rgb, (uInt)(im->w * im->h * 3));
}

static void test_cases(void **state)
{
    image im = {0};
    int refused = 0;
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const struct image_case *c = &image_cases[i];
        size_t n;
        uint8_t *bytes = from_base64(c->base64, &n);
        int rc = decode(&im, bytes, n);
        if (c->w == 0) {
            refused++;
            if (rc != ERR_INPUT) fail_msg("%s: accepted", c->what);
            assert_non_null(strstr(err_text(), "case: "));
        } else {
            if (rc != 0) fail_msg("%s: %s", c->what, err_text());
            if (im.w != c->w || im.h != c->h || crc_of(&im) != c->crc)
                fail_msg("%s: pixels differ", c->what);
        }
        free(bytes);
    }
    printf("# %d files, %d of them refused\n", CASES, refused);
    image_clear(&im);
}

/* A cut file is refused, or (cut behind its last row) gives the same pixels. */
static void test_prefixes(void **state)
{
    image im = {0};
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const struct image_case *c = &image_cases[i];
        size_t n;
        uint8_t *bytes = from_base64(c->base64, &n);
        for (size_t k = 0; c->w != 0 && i % 4 == 0 && k < n; k++) {
            uint8_t *cut = malloc(k > 0 ? k : 1);
            memcpy(cut, bytes, k);
            if (decode(&im, cut, k) == 0) {
                assert_int_equal(crc_of(&im), c->crc);
                assert_true(k + 64 > n || strncmp(c->what, "PNG odd", 7) == 0);
            }
            free(cut);
        }
        free(bytes);
    }
    image_clear(&im);
}

/* Every byte of some files set to three other values: any verdict, but no crash and sane sizes. */
static void test_damage(void **state)
{
    image im = {0};
    (void)state;
    for (int i = 0; i < CASES; i += 5) {
        size_t n;
        uint8_t *bytes = from_base64(image_cases[i].base64, &n);
        for (size_t k = 0; k < n; k++) {
            uint8_t was = bytes[k];
            for (int v = 0; v < 3; v++) {
                bytes[k] = (uint8_t)(v == 0 ? was ^ 1 : v == 1 ? 0xff : 0);
                if (decode(&im, bytes, n) == 0) assert_true(im.w > 0 && im.h > 0 && im.rgb != NULL);
            }
            bytes[k] = was;
        }
        free(bytes);
    }
    image_clear(&im);
}

static void refuses(const void *bytes, size_t n, const char *words)
{
    image im = {0};
    assert_int_equal(decode(&im, bytes, n), ERR_INPUT);
    if (strstr(err_text(), words) == NULL) fail_msg("'%s' lacks '%s'", err_text(), words);
    image_clear(&im);
}

static void test_other_formats(void **state)
{
    (void)state;
    refuses("", 0, "empty file");
    refuses("GIF89a......", 12, "GIF");
    refuses("BM..........", 12, "BMP");
    refuses("RIFF....WEBPVP8 ", 16, "WebP");
    refuses("P6\n1 1\n255\n...", 14, "PNM");
    refuses("\0\0\0\x0cjP  \r\n", 10, "JPEG 2000");
    refuses("II*\0....", 8, "TIFF");
    refuses("\xff\xd8", 2, "neither JPEG nor PNG");
    refuses("hello", 5, "neither JPEG nor PNG");
    refuses("\xff\xd8\xff", 3, "ends before the first scan");
}

/* A header-only PNG of w x h: above the limit it is refused for its size, below for what
 * follows. */
static void png_header(uint8_t *p, uint32_t w, uint32_t h)
{
    static const uint8_t start[16] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    uint32_t crc;
    memcpy(p, start, 16);
    for (int i = 0; i < 4; i++) {
        p[16 + i] = (uint8_t)(w >> (24 - 8 * i));
        p[20 + i] = (uint8_t)(h >> (24 - 8 * i));
    }
    memcpy(p + 24, "\x01\0\0\0", 5);
    crc = (uint32_t)crc32(0, p + 12, 17);
    for (int i = 0; i < 4; i++)
        p[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    memcpy(p + 33, "\0\0\0\0IDAT", 8);
}

static void test_pixel_limit(void **state)
{
    uint8_t p[41];
    (void)state;
    png_header(p, IMAGE_PIXELS_MAX + 1, 1);
    refuses(p, sizeof p, "above the limit");
    png_header(p, 1, IMAGE_PIXELS_MAX + 1);
    refuses(p, sizeof p, "above the limit");
    png_header(p, 0xffffffff, 0xffffffff);
    refuses(p, sizeof p, "above the limit");
    png_header(p, 0, 5);
    refuses(p, sizeof p, "0 x 5");
    png_header(p, 13377, 13377); /* 178,944,129 pixels: the size is no reason */
    refuses(p, sizeof p, "truncated");
    png_header(p, 13378, 13377);
    refuses(p, sizeof p, "above the limit");
}

static const struct image_case *find(const char *what)
{
    for (int i = 0; i < CASES; i++)
        if (strstr(image_cases[i].what, what) != NULL) return &image_cases[i];
    fail_msg("no case %s", what);
    return NULL;
}

/* A progressive file whose last scan is repeated until it has `scans` scans. */
static int with_scans(int scans)
{
    size_t n, at, size = 0;
    uint8_t *bytes = from_base64(find("4:2:0 progressive")->base64, &n), *many;
    image im = {0};
    int have = 0, rc;
    size_t last = 0;
    for (at = 0; at + 1 < n; at++)
        if (bytes[at] == 0xff && bytes[at + 1] == 0xda) {
            have++;
            last = at;
        }
    if (n < 2 || last == 0) return -1;
    many = malloc(n + (size_t)scans * (n - last));
    memcpy(many, bytes, n - 2); /* without the end marker */
    size = n - 2;
    for (; have < scans; have++) {
        memcpy(many + size, bytes + last, n - 2 - last);
        size += n - 2 - last;
    }
    memcpy(many + size, "\xff\xd9", 2);
    rc = decode(&im, many, size + 2);
    image_clear(&im);
    free(bytes);
    free(many);
    return rc;
}

static void test_scan_limit(void **state)
{
    (void)state;
    assert_int_equal(with_scans(IMAGE_SCANS_MAX), 0);
    assert_int_equal(with_scans(IMAGE_SCANS_MAX + 1), ERR_INPUT);
    assert_non_null(strstr(err_text(), "501 scans"));
}

/* A decoded image's buffer serves the next, smaller or larger. */
static void test_reuse(void **state)
{
    image im = {0};
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = CASES - 1; i >= 0; i -= 3) {
            size_t n;
            uint8_t *bytes = from_base64(image_cases[i].base64, &n);
            if (decode(&im, bytes, n) == 0) assert_int_equal(crc_of(&im), image_cases[i].crc);
            free(bytes);
        }
    image_clear(&im);
    assert_null(im.rgb);
}

/* Names reach messages, but not their control bytes. */
static void test_names(void **state)
{
    image im = {0};
    (void)state;
    err_clear();
    assert_int_equal(image_decode(&im, (const uint8_t *)"GIF89a", 6, "a\x1b[31m\n.png"), ERR_INPUT);
    assert_null(strchr(err_text(), '\x1b'));
    assert_null(strchr(err_text(), '\n'));
    image_clear(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),       cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_other_formats),
        cmocka_unit_test(test_pixel_limit), cmocka_unit_test(test_scan_limit),
        cmocka_unit_test(test_reuse),       cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
