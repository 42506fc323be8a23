/* resize.c, Pillow's filters: check values of Pillow 9.4 (models.md 10.4), and every path against the plain twin. */
#include "extract/images/resize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/err.h"
#include "tests/unit/resize_source.h"

static const struct given {
    int w, h, ow, oh;
    uint32_t bilinear, bicubic; /* CRC-32 of Pillow's bytes */
} given[] = {
    {500, 375, 480, 480, 0x81dcb8e7, 0xf8725fbd}, {500, 375, 224, 224, 0xfccf07ce, 0xe831850d},
    {375, 500, 256, 341, 0x665410d7, 0xd144a983}, {500, 375, 341, 256, 0xc19a5386, 0x91e5d3d1},
    {32, 32, 224, 224, 0x6abbc22e, 0x49d4354b},   {100, 60, 37, 91, 0xabea4c0e, 0x1b323619},
    {640, 480, 320, 240, 0x359b4c53, 0x28894813}, {17, 13, 17, 40, 0x30175178, 0x5a6ab344},
    {9, 1, 4, 3, 0x9165be79, 0xd786c151},
};

static void test_generator(void **state)
{
    static const uint8_t first[8] = {177, 242, 161, 12, 71, 85, 171, 159};
    uint8_t *p = source(500, 375);
    (void)state;
    assert_memory_equal(p, first, 8);
    assert_int_equal(crc32(0, p, 500 * 375 * 3), 0x3e96b5c9);
    free(p);
}

static void test_check_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        const struct given *g = &given[i];
        uint8_t *src = source(g->w, g->h), *dst = malloc((size_t)g->ow * (size_t)g->oh * 3);
        uInt n = (uInt)(g->ow * g->oh * 3);
        assert_int_equal(resize_plain(src, g->w, g->h, dst, g->ow, g->oh, RESIZE_BILINEAR), 0);
        assert_int_equal(crc32(0, dst, n), g->bilinear);
        assert_int_equal(resize_plain(src, g->w, g->h, dst, g->ow, g->oh, RESIZE_BICUBIC), 0);
        assert_int_equal(crc32(0, dst, n), g->bicubic);
        free(src);
        free(dst);
    }
}

/* A window of the result on one path against the same window of the plain result. */
static void compare(const uint8_t *src, const uint8_t *whole, resize_shape s)
{
    size_t line = (size_t)s.cw * 3, stride = line + 5;
    uint8_t *dst = malloc(stride * (size_t)s.ch);
    resize_plan *p = NULL;
    memset(dst, 0x5a, stride * (size_t)s.ch);
    assert_int_equal(resize_plan_new(&p, &s), 0);
    resize_plan_run(p, src, dst, stride);
    for (int y = 0; y < s.ch; y++) {
        const uint8_t *want = whole + ((size_t)(s.y + y) * (size_t)s.ow + (size_t)s.x) * 3;
        assert_memory_equal(dst + (size_t)y * stride, want, line);
        for (size_t k = line; k < stride; k++) /* and nothing behind the row */
            assert_int_equal(dst[(size_t)y * stride + k], 0x5a);
    }
    resize_plan_free(&p);
    free(dst);
}

static void test_paths_equal_plain(void **state)
{
    uint64_t k = 0;
    (void)state;
    for (int round = 0; round < 150; round++) {
        resize_shape s = {.w = 1 + upto(&k, round % 3 ? 70 : 900),
                          .h = 1 + upto(&k, round % 5 ? 70 : 700)};
        uint8_t *src = source(s.w, s.h), *whole;
        s.ow = round % 7 == 0 ? s.w : 1 + upto(&k, 90);
        s.oh = round % 6 == 0 ? s.h : 1 + upto(&k, 90);
        s.filter = round % 2 ? RESIZE_BILINEAR : RESIZE_BICUBIC;
        s.x = upto(&k, s.ow);
        s.y = upto(&k, s.oh);
        s.cw = 1 + upto(&k, s.ow - s.x);
        s.ch = 1 + upto(&k, s.oh - s.y);
        whole = malloc((size_t)s.ow * (size_t)s.oh * 3);
        assert_int_equal(resize_plain(src, s.w, s.h, whole, s.ow, s.oh, s.filter), 0);
        for (int path = RESIZE_PORTABLE; path <= (int)resize_path_best(); path++) {
            s.path = (resize_path)path;
            compare(src, whole, s);
        }
        free(src);
        free(whole);
    }
}

/* Extreme values at the taps: white next to black, where sums are largest. */
static void test_contrast(void **state)
{
    (void)state;
    for (int f = RESIZE_BILINEAR; f <= RESIZE_BICUBIC; f++) {
        resize_shape s = {
            .w = 64, .h = 48, .ow = 91, .oh = 31, .cw = 91, .ch = 31, .filter = (resize_filter)f};
        uint8_t *src = source(64, 48), *whole = malloc(91 * 31 * 3);
        for (size_t i = 0; i < 64 * 48 * 3; i++)
            src[i] = src[i] & 1 ? 255 : 0;
        assert_int_equal(resize_plain(src, 64, 48, whole, 91, 31, s.filter), 0);
        for (int path = RESIZE_PORTABLE; path <= (int)resize_path_best(); path++) {
            s.path = (resize_path)path;
            compare(src, whole, s);
        }
        free(src);
        free(whole);
    }
}

static void test_reach(void **state)
{
    resize_shape s = {
        .w = 500, .h = 375, .ow = 341, .oh = 256, .x = 58, .y = 16, .cw = 224, .ch = 224};
    resize_plan *p = NULL;
    int first, end;
    (void)state;
    assert_int_equal(resize_plan_new(&p, &s), 0);
    resize_plan_rows(p, &first, &end);
    assert_true(first > 15 && first < 25 && end > 350 && end < 360);
    resize_plan_columns(p, &first, &end);
    assert_true(first > 78 && first < 90 && end > 410 && end < 420);
    resize_plan_free(&p);
}

static void test_refusals(void **state)
{
    resize_plan *p = NULL;
    resize_shape s = {.w = 10, .h = 10, .ow = 5, .oh = 5, .x = 3, .y = 0, .cw = 3, .ch = 5};
    uint8_t px[3] = {0};
    (void)state;
    err_clear();
    assert_int_equal(resize_plan_new(&p, &s), ERR_INPUT);
    assert_null(p);
    s.x = 0;
    s.h = 0;
    assert_int_equal(resize_plan_new(&p, &s), ERR_INPUT);
    assert_int_equal(resize_plain(px, 1, 0, px, 1, 1, RESIZE_BILINEAR), ERR_INPUT);
    err_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generator),
        cmocka_unit_test(test_check_values),
        cmocka_unit_test(test_paths_equal_plain),
        cmocka_unit_test(test_contrast),
        cmocka_unit_test(test_reach),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
