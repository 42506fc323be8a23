/* Records of images: what the CPU twins of the decode kernels make of them are the bytes of prep_decode
 * and of Pillow; for files that libjpeg writes here, whole, through windows, resized both ways, damaged; for
 * both ways of packing blocks; for batches of which some images come as pixels, in parts and in groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "tests/lib/jpeg_files.h"
#include "tests/lib/record_twin.h"
#include "tests/unit/image_cases.h"

static twin_ways ways(const char *recipe, int side)
{
    twin_ways k;
    if (twin_open(&k, recipe, side) < 0) fail_msg("%s: %s", recipe, err_text());
    return k;
}

static const char *const recipes[] = {"torchvision",       "gen:size=64",
                                      "timm:filter=bicubic", "torchvision:resize=40x70,crop=none",
                                      "cifar",             "torchvision:resize=20,crop=32,size=32"};

/* Drawn files: most are taken, all give the same bytes. */
static void drawn_files(void **state)
{
    int taken = 0, of = 0;
    (void)state;
    for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
        twin_ways k;
        k = ways(recipes[r], 32);
        for (int i = 0; i < 150; i++) {
            made m = draw_file(i, i % 10 == 0 ? 300 : 90);
            int rc;
            make_file(&m);
            rc = twin_compare(&k, m.bytes, m.n, "made");
            if (rc < 0)
                fail_msg("%s: file %d, %d x %d, %d channels, progressive %d: %s", recipes[r], i, m.w, m.h,
                         m.channels, m.progressive, rc == -1 ? "other bytes" : err_text());
            taken += rc == 1;
            of += m.channels != 4 && m.w >= 16 && m.h >= 8 && i % 8 != 7;
            free(m.bytes);
        }
        twin_close(&k);
    }
    printf("# %d of about %d files of common kinds as records, the same bytes\n", taken, of);
    assert_true(taken > of * 9 / 10 && of > 300);
}

/* What is damaged is refused or decoded as the CPU does: a record is never made of more than it takes. */
static void damaged_files(void **state)
{
    twin_ways k = ways("torchvision", 32);
    int taken = 0;
    (void)state;
    for (int i = 0; i < 60; i++) {
        made m = draw_file(i, 60);
        make_file(&m);
        for (int j = 0; j < 60; j++) {
            unsigned long at = draw((unsigned)m.n), n = j % 10 == 0 ? at : m.n;
            unsigned char was = m.bytes[at];
            int rc;
            m.bytes[at] ^= (unsigned char)(1u << draw(8));
            rc = twin_compare(&k, m.bytes, n, "damaged");
            if (rc < 0) fail_msg("file %d, byte %lu of %lu: %s", i, at, n, rc == -1 ? "other bytes" : err_text());
            taken += rc == 1;
            m.bytes[at] = was;
        }
        free(m.bytes);
    }
    printf("# %d of 3600 damaged files as records, the same bytes\n", taken);
    assert_true(taken > 100);
    twin_close(&k);
}

static uint8_t *from_base64(const char *s, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *out = malloc(strlen(s));
    uint32_t bits = 0;
    int have = 0;
    *n = 0;
    for (; *s != '\0' && *s != '='; s++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *s) - digits);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[(*n)++] = (uint8_t)(bits >> have);
    }
    return out;
}

/* Pictures at their own size: the pixels of Pillow. */
static void pixels_of_pillow(void **state)
{
    int taken = 0;
    (void)state;
    for (size_t i = 0; i < sizeof image_cases / sizeof *image_cases; i++) {
        const struct image_case *c = &image_cases[i];
        prep p = {.resize_h = c->h, .resize_w = c->w, .out_h = c->h, .out_w = c->w, .std = {1, 1, 1}};
        prep_scratch *s = NULL;
        image im = {.rgb = NULL};
        record_memory m = {.bytes = NULL};
        record_decoder *d = NULL;
        record_limits l = record_limits_of(1, (size_t)c->h, (size_t)c->w);
        record_image *one;
        record_batch b;
        const uint8_t *rgb;
        size_t n;
        uint8_t *file;
        if (strncmp(c->what, "JPEG", 4) != 0 || c->w == 0) continue;
        file = from_base64(c->base64, &n);
        assert_int_equal(prep_scratch_new(&s), 0);
        one = aligned_alloc(64, 1 << 20);
        if (record_make(one, &m, &p, s, &im, file, n, c->what, &l) == 1) {
            taken++;
            one->at = record_aligned(sizeof *one);
            memcpy((uint8_t *)one + one->at, m.bytes, m.used);
            b = (record_batch){one, 1, one->at + m.used};
            assert_int_equal(record_decoder_new(&d, &p, 1), 0);
            assert_int_equal(record_decode(d, &b, 0, 1, &rgb), 0);
            assert_int_equal(crc32(0, rgb, (uInt)(c->w * c->h * 3)), c->crc);
        }
        free(one);
        free(file);
        prep_scratch_free(&s);
        image_clear(&im);
        record_memory_clear(&m);
        record_decoder_free(&d);
    }
    printf("# %d pictures with Pillow's pixels\n", taken);
    assert_true(taken >= 5);
}

/* Random blocks, dense and thin, small values and large: both ways of packing give one record, and it
 * gives the block back. */
static void both_packers(void **state)
{
    int wide = 0, bad = 0;
    (void)state;
    if (!__builtin_cpu_supports("avx2")) return;
    for (int i = 0; i < 20000; i++) {
        _Alignas(64) int16_t block[64], quant[64];
        uint8_t a[256], c[256], *end, *other;
        record_block x = {.at = 0}, y = {.at = 0};
        unsigned is_bad = 0, too = 0, density = draw(64), most = i % 3 == 0 ? 2000 : i % 3 == 1 ? 128 : 20;
        for (int k = 0; k < 64; k++) {
            quant[k] = (int16_t)(1 + draw(i % 2 == 0 ? 8 : 255));
            block[k] = draw(64) < density ? (int16_t)((int)draw(2 * most + 1) - (int)most) : 0;
        }
        end = jpeg_pack_block_avx2(&x, quant, block, block[0], a, &is_bad);
        for (int k = 0, at = 0; k < 64; k++) {
            int v = 0;
            if (k == 0) v = x.dc;
            else if (x.mask >> k & 1) {
                v = x.wide == 1 ? (int8_t)a[at] : (int16_t)(uint16_t)(a[at] | a[at + 1] << 8);
                at += x.wide;
                assert_true(v != 0);
            }
            assert_int_equal(v, block[k]);
            if (k == 63) assert_int_equal(at, end - a);
        }
        assert_int_equal(x.mask & 1, 0);
        wide += x.wide == 2;
        bad += is_bad != 0;
        for (int k = 0; k < 64 && !is_bad; k++)
            assert_true((int16_t)(block[k] * quant[k]) >= -8192 && (int16_t)(block[k] * quant[k]) < 8192);
        if (!__builtin_cpu_supports("avx512vbmi2")) continue;
        other = jpeg_pack_block_avx512(&y, quant, block, block[0], c, &too);
        assert_memory_equal(&x, &y, sizeof x);
        assert_int_equal(other - c, end - a);
        assert_memory_equal(a, c, (size_t)(end - a));
        assert_int_equal(is_bad != 0, too != 0);
    }
    assert_true(wide > 1000 && wide < 19000 && bad > 1000);
}

/* A batch of records, pixels and nothing, whole and in parts, gives each image's own bytes. */
static void a_batch_in_parts(void **state)
{
    enum { N = 7 };
    twin_ways k = ways("torchvision", 32);
    record_decoder *d = NULL;
    size_t out = 32 * 32 * 3, at = record_aligned(N * sizeof(record_image));
    uint8_t *memory = aligned_alloc(64, 4 << 20), want[N][32 * 32 * 3];
    record_batch b = {(record_image *)(void *)memory, N, 0};
    const uint8_t *rgb;
    (void)state;
    assert_int_equal(record_decoder_new(&d, &k.p, N), 0);
    memset(want, 0, sizeof want);
    for (int i = 0; i < N; i++) {
        made m = draw_file(10 * i, 200); /* three channels */
        m.w += 20;
        m.h += 20;
        make_file(&m);
        b.images[i] = (record_image){.kind = RECORD_EMPTY};
        if (i == 4) memset(&b.images[i], 0, sizeof b.images[i]);
        else assert_int_equal(prep_decode(&k.p, k.s, &k.im, m.bytes, m.n, "made", want[i]), 0);
        if (i % 3 == 2) {
            b.images[i] = record_of_pixels(&k.p);
            memcpy(memory + at, want[i], out);
        } else if (i != 4) {
            assert_int_equal(record_make(&b.images[i], &k.m, &k.p, k.s, &k.im, m.bytes, m.n, "made", &k.limits), 1);
            memcpy(memory + at, k.m.bytes, k.m.used);
        }
        b.images[i].at = at;
        at += record_aligned(b.images[i].bytes);
        free(m.bytes);
    }
    b.bytes = at;
    for (size_t first = 0; first < N; first++)
        for (size_t n = 1; n <= N - first; n++) {
            assert_int_equal(record_decode(d, &b, first, n, &rgb), 0);
            assert_memory_equal(rgb, want[first], n * out);
        }
    assert_int_equal(record_decode(d, &b, 1, N, &rgb), ERR_INTERNAL);
    /* Groups: whatever scratch there is, each image is in one, and none has more than that. */
    for (size_t together = 16 << 10; together < 2 << 20; together *= 2) {
        size_t groups = 0;
        record_layout(b.images, N, 32, 32, together, 0);
        for (size_t i = 0; i < N; i += b.images[i].group, groups++)
            assert_true(b.images[i].group >= 1 &&
                        (b.images[i].group == 1 || b.images[i].group_scratch <= together));
        if (together == 16 << 10) assert_true(groups > 1);
    }
    record_decoder_free(&d);
    free(memory);
    twin_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_of_pillow), cmocka_unit_test(drawn_files), cmocka_unit_test(damaged_files),
        cmocka_unit_test(both_packers),     cmocka_unit_test(a_batch_in_parts),
    };
    err_clear();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
