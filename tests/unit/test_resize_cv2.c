/* resize_cv2: check values of OpenCV 4.6.0 (models.md 10.4), every path and window against the
 * plain twin, and which source pixels a plan says that it reads. */
#include "extract/images/resize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "tests/unit/resize_source.h"

static const struct given {
    int w, h, ow, oh;
    uint32_t linear, cubic; /* CRC-32 of OpenCV's bytes */
} given[] = {
    {500, 375, 480, 480, 0x364a1184, 0xca64ae41}, {500, 375, 224, 224, 0xbacca4cf, 0xb59ef5ba},
    {375, 500, 256, 341, 0x76df4d93, 0x24529e1e}, {500, 375, 341, 256, 0x3b4c25d5, 0x4332510b},
    {32, 32, 224, 224, 0xcf3c3242, 0xa5f7763c},   {100, 60, 37, 91, 0x235585ef, 0xd07a20a8},
    {640, 480, 320, 240, 0x88b3149e, 0xd3857fe4}, {17, 13, 17, 40, 0x2c5da683, 0x3ed0eaca},
    {9, 1, 4, 3, 0xb9b7776b, 0x18d7965e},
};

static const resize_filter filters[] = {RESIZE_CV2_BILINEAR, RESIZE_CV2_BICUBIC};

static uint8_t *plain(const uint8_t *src, const resize_shape *s)
{
    uint8_t *whole = malloc((size_t)s->ow * (size_t)s->oh * 3);
    assert_non_null(whole);
    assert_int_equal(resize_plain(src, s->w, s->h, whole, s->ow, s->oh, s->filter), 0);
    return whole;
}

static void test_check_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        const struct given *g = &given[i];
        uint8_t *src = source(g->w, g->h);
        for (int f = 0; f < 2; f++) {
            resize_shape s = {.w = g->w, .h = g->h, .ow = g->ow, .oh = g->oh, .filter = filters[f]};
            uint8_t *whole = plain(src, &s);
            uint32_t crc = (uint32_t)crc32(0, whole, (uInt)(g->ow * g->oh * 3));
            assert_int_equal(crc, f == 0 ? g->linear : g->cubic);
            free(whole);
        }
        free(src);
    }
}

/* A window through a plan, from a copy of the source in which only the pixels the plan asks for are
 * left; the same window of the plain result. */
static void compare(const uint8_t *src, const uint8_t *whole, resize_shape s)
{
    size_t line = (size_t)s.cw * 3, stride = line + 5, from = (size_t)s.w * 3;
    size_t size = from * (size_t)s.h + RESIZE_SLACK;
    uint8_t *dst = malloc(stride * (size_t)s.ch), *part = malloc(size);
    resize_plan *p = NULL;
    int x0, x1, y0, y1;
    assert_true(dst != NULL && part != NULL);
    memset(dst, 0x5a, stride * (size_t)s.ch);
    memset(part, 0xc3, size);
    assert_int_equal(resize_plan_new(&p, &s), 0);
    resize_plan_columns(p, &x0, &x1);
    resize_plan_rows(p, &y0, &y1);
    assert_true(x0 >= 0 && x0 < x1 && x1 <= s.w && y0 >= 0 && y0 < y1 && y1 <= s.h);
    for (int y = y0; y < y1; y++) {
        size_t at = (size_t)y * from + 3 * (size_t)x0;
        memcpy(part + at, src + at, 3 * (size_t)(x1 - x0));
    }
    for (int again = 0; again < 2;
         again++) { /* what a run leaves in the plan is not seen by the next */
        resize_plan_run(p, again ? src : part, dst, stride);
        for (int y = 0; y < s.ch; y++) {
            const uint8_t *want = whole + ((size_t)(s.y + y) * (size_t)s.ow + (size_t)s.x) * 3;
            assert_memory_equal(dst + (size_t)y * stride, want, line);
            for (size_t k = line; k < stride; k++)
                assert_int_equal(dst[(size_t)y * stride + k], 0x5a);
        }
    }
    resize_plan_free(&p);
    free(part);
    free(dst);
}

static void all_paths(const uint8_t *src, resize_shape s)
{
    uint8_t *whole = plain(src, &s);
    for (int path = RESIZE_PORTABLE; path <= (int)resize_path_best(); path++) {
        s.path = (resize_path)path;
        compare(src, whole, s);
    }
    free(whole);
}

static void test_paths_equal_plain(void **state)
{
    uint64_t k = 0;
    (void)state;
    for (int round = 0; round < 200; round++) {
        resize_shape s = {.w = 1 + upto(&k, round % 3 ? 70 : 500),
                          .h = 1 + upto(&k, round % 5 ? 70 : 400)};
        uint8_t *src = source(s.w, s.h);
        s.ow = round % 7 == 0 ? s.w : 1 + upto(&k, 90);
        s.oh = round % 6 == 0 ? s.h : 1 + upto(&k, 90);
        s.x = upto(&k, s.ow);
        s.y = upto(&k, s.oh);
        s.cw = 1 + upto(&k, s.ow - s.x);
        s.ch = 1 + upto(&k, s.oh - s.y);
        s.filter = filters[round % 2];
        all_paths(src, s);
        free(src);
    }
}

/* Identity, exactly half (and half in one direction only), one pixel, both ways. */
static void test_special_factors(void **state)
{
    static const int t[][4] = {{40, 30, 40, 30}, {40, 30, 20, 15}, {40, 30, 20, 30},
                               {40, 30, 40, 15}, {41, 30, 20, 15}, {1, 1, 7, 5},
                               {1, 9, 3, 4},     {9, 1, 4, 3},     {2, 2, 1, 1},
                               {3, 3, 1, 1},     {2, 3, 31, 31},   {64, 64, 1, 64}};
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (int f = 0; f < 2; f++) {
            resize_shape s = {
                .w = t[i][0], .h = t[i][1], .ow = t[i][2], .oh = t[i][3], .filter = filters[f]};
            uint8_t *src = source(s.w, s.h);
            s.cw = s.ow;
            s.ch = s.oh;
            all_paths(src, s);
            s.x = s.ow / 3;
            s.y = s.oh / 2;
            s.cw -= s.x;
            s.ch -= s.y;
            all_paths(src, s);
            free(src);
        }
}

/* White next to black: bicubic overshoots on both sides. */
static void test_contrast(void **state)
{
    resize_shape s = {.w = 64, .h = 48, .ow = 91, .oh = 31, .cw = 91, .ch = 31};
    uint8_t *src = source(s.w, s.h);
    (void)state;
    for (size_t i = 0; i < 64 * 48 * 3; i++)
        src[i] = src[i] & 1 ? 255 : 0;
    for (int f = 0; f < 2; f++) {
        s.filter = filters[f];
        all_paths(src, s);
    }
    free(src);
}

/* A centre crop of a large reduction reads little of the source. */
static void test_reach(void **state)
{
    resize_shape s = {.w = 1000,
                      .h = 750,
                      .ow = 100,
                      .oh = 75,
                      .x = 40,
                      .y = 30,
                      .cw = 20,
                      .ch = 20,
                      .filter = RESIZE_CV2_BICUBIC};
    resize_plan *p = NULL;
    int first, end;
    (void)state;
    assert_int_equal(resize_plan_new(&p, &s), 0);
    resize_plan_columns(p, &first, &end); /* centres 404.5 ... 594.5 */
    assert_int_equal(first, 403);
    assert_int_equal(end, 597);
    resize_plan_rows(p, &first, &end);
    assert_int_equal(first, 303);
    assert_int_equal(end, 497);
    resize_plan_free(&p);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(resize_filter_name(RESIZE_BILINEAR), "bilinear");
    assert_string_equal(resize_filter_name(RESIZE_BICUBIC), "bicubic");
    assert_string_equal(resize_filter_name(RESIZE_CV2_BILINEAR), "cv2-bilinear");
    assert_string_equal(resize_filter_name(RESIZE_CV2_BICUBIC), "cv2-bicubic");
    assert_null(resize_filter_name(RESIZE_FILTERS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_values),    cmocka_unit_test(test_paths_equal_plain),
        cmocka_unit_test(test_special_factors), cmocka_unit_test(test_contrast),
        cmocka_unit_test(test_reach),           cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
