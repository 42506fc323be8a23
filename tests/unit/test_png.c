/* png_lib.c (libpng) against png_rows.c (our own rows): the same verdicts, messages and pixels for
 * every layout, for odd files and for damaged ones; whole files are libpng's, others are not.  That
 * the pixels are Pillow's is test_image.c's matter. */
#include "extract/images/image.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/err.h"
#include "extract/images/image_parts.h"
#include "tests/unit/image_cases.h"

enum { CASES = sizeof image_cases / sizeof *image_cases };

/* ---- PNG files made here --------------------------------------------------------------------- */

typedef struct file {
    uint8_t *b;
    size_t n, room;
} file;

typedef struct picture {
    unsigned depth, colour;
    int interlaced;
    size_t w, h;
    size_t entries;    /* of PLTE; 0: none */
    size_t idat_bytes; /* of each IDAT; 0: one for all */
} picture;

static uint32_t seed = 1;

static unsigned draw(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void put(file *f, const void *p, size_t n)
{
    if (f->n + n > f->room) {
        f->room = 2 * (f->n + n);
        f->b = realloc(f->b, f->room);
        assert_non_null(f->b);
    }
    if (n > 0) memcpy(f->b + f->n, p, n);
    f->n += n;
}

static void put32(file *f, size_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    put(f, b, 4);
}

static void put_chunk(file *f, const char *id, const void *p, size_t n)
{
    size_t at = f->n + 4;
    put32(f, n);
    put(f, id, 4);
    put(f, p, n);
    put32(f, crc32(0, f->b + at, (uInt)(n + 4)));
}

/* Signature and IHDR; `method` is the compression method. */
static void put_start(file *f, const picture *p, uint8_t method)
{
    file h = {0};
    uint8_t rest[5] = {(uint8_t)p->depth, (uint8_t)p->colour, method, 0, (uint8_t)p->interlaced};
    put32(&h, p->w);
    put32(&h, p->h);
    put(&h, rest, 5);
    put(f, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(f, "IHDR", h.b, h.n);
    free(h.b);
}

static void put_palette(file *f, size_t entries)
{
    uint8_t b[3 * 256];
    for (size_t i = 0; i < 3 * entries; i++)
        b[i] = (uint8_t)draw(256);
    put_chunk(f, "PLTE", b, 3 * entries);
}

/* Random rows under random filters, as a zlib stream. */
static file stream_of(const picture *p)
{
    static const size_t pass[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                      {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    static const size_t channels[7] = {1, 0, 3, 1, 2, 0, 4};
    file raw = {0}, z = {0};
    uLongf n;
    for (int k = 0; k < (p->interlaced ? 7 : 1); k++) {
        size_t x = 0, y = 0, dx = 1, dy = 1, w;
        if (p->interlaced) x = pass[k][0], y = pass[k][1], dx = pass[k][2], dy = pass[k][3];
        w = (p->w + dx - 1 - x) / dx;
        for (; w > 0 && y < p->h; y += dy) {
            uint8_t v = (uint8_t)draw(5);
            put(&raw, &v, 1);
            for (size_t i = 0; i < (w * p->depth * channels[p->colour] + 7) / 8; i++) {
                v = (uint8_t)(draw(3) == 0 ? 0 : draw(256)); /* zeros: grey 16 below 256 */
                put(&raw, &v, 1);
            }
        }
    }
    n = compressBound(raw.n);
    z.b = malloc(n);
    assert_non_null(z.b);
    assert_int_equal(compress2(z.b, &n, raw.b, raw.n, (int)draw(10)), Z_OK);
    z.n = z.room = n;
    free(raw.b);
    return z;
}

static void put_data(file *f, const file *z, size_t idat_bytes)
{
    for (size_t at = 0; at < z->n;) {
        size_t n = idat_bytes == 0 || idat_bytes > z->n - at ? z->n - at : idat_bytes;
        put_chunk(f, "IDAT", z->b + at, n);
        at += n;
    }
}

static file file_of(const picture *p)
{
    file f = {0}, z = stream_of(p);
    put_start(&f, p, 0);
    if (p->entries > 0) put_palette(&f, p->entries);
    put_data(&f, &z, p->idat_bytes);
    put_chunk(&f, "IEND", "", 0);
    free(z.b);
    return f;
}

/* ---- both ways ------------------------------------------------------------------------------- */

typedef struct counts {
    int lib, own, refused;
} counts;

/* Decodes both ways, which must agree; returns the verdict and counts whose rows they were. */
static int both(const uint8_t *bytes, size_t n, const char *what, counts *c)
{
    static image a, b; /* reused, so that sizes and layouts follow each other in any order */
    char text[256];
    uint8_t *exact = malloc(n > 0 ? n : 1); /* so that a sanitiser sees each over-read */
    int by_lib, never, rc;
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    err_clear();
    rc = png_decode_by(&a, exact, n, "case", 1, &by_lib);
    snprintf(text, sizeof text, "%s", err_text());
    err_clear();
    if (png_decode_by(&b, exact, n, "case", 0, &never) != rc || never != 0)
        fail_msg("%s: verdict %d '%s', our own way '%s'", what, rc, text, err_text());
    assert_string_equal(text, err_text());
    if (rc == 0) {
        assert_int_equal(a.w, b.w);
        assert_int_equal(a.h, b.h);
        if (memcmp(a.rgb, b.rgb, (size_t)a.w * (size_t)a.h * 3) != 0)
            fail_msg("%s: pixels differ", what);
    }
    *(rc < 0 ? &c->refused : by_lib ? &c->lib : &c->own) += 1;
    free(exact);
    return rc;
}

static void print_counts(const counts *c)
{
    printf("# libpng read %d files, our own rows %d, refused %d\n", c->lib, c->own, c->refused);
}

static const unsigned layouts[15][2] = {{1, 0}, {2, 0},  {4, 0},  {8, 0}, {16, 0},
                                        {8, 2}, {16, 2}, {1, 3},  {2, 3}, {4, 3},
                                        {8, 3}, {8, 4},  {16, 4}, {8, 6}, {16, 6}};

static picture a_picture(int layout, int interlaced, size_t w, size_t h)
{
    picture p = {layouts[layout][0], layouts[layout][1], interlaced, w, h, 0, 0};
    /* fewer entries than indices: those that PLTE lacks are a grey ramp */
    if (p.colour == 3) p.entries = 1 + draw(1u << p.depth);
    if (draw(2) == 0) p.idat_bytes = 1 + draw(200);
    return p;
}

static void test_layouts(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {2, 3}, {5, 1},   {1, 9},   {3, 4},  {7, 8},
                                      {8, 7}, {9, 9}, {33, 17}, {300, 2}, {4, 300}};
    counts c = {0};
    int files = 0;
    (void)state;
    for (int l = 0; l < 15; l++)
        for (int inter = 0; inter < 2; inter++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                picture p = a_picture(l, inter, sizes[s][0], sizes[s][1]);
                file f = file_of(&p);
                assert_int_equal(both(f.b, f.n, "layout", &c), 0);
                files++;
                free(f.b);
            }
    print_counts(&c);
    assert_int_equal(c.lib, files);
}

/* Chunks that change no pixel leave the file to libpng. */
static void test_extra_chunks(void **state)
{
    counts c = {0};
    (void)state;
    for (int l = 0; l < 15; l++) {
        picture p = a_picture(l, l % 2, 13, 7);
        file f = {0}, z = stream_of(&p);
        uint8_t profile[64] = "n\0";
        uLongf n = sizeof profile - 3;
        assert_int_equal(compress(profile + 3, &n, (const uint8_t *)"icc", 3), Z_OK);
        put_start(&f, &p, 0);
        put_chunk(&f, "gAMA", "\0\0\x27\x10", 4); /* gamma 0.1 */
        put_chunk(&f, "iCCP", profile, 3 + n);
        put_chunk(&f, "sBIT", "\1\1\1\1", p.colour == 3 || p.colour == 2 ? 3 : 1 + p.colour % 3);
        if (p.entries > 0) put_palette(&f, p.entries);
        put_chunk(&f, "bKGD", "\0\1\0\1\0\1", p.colour == 3 ? 1 : p.colour % 4 == 0 ? 2 : 6);
        if (p.colour < 4) put_chunk(&f, "tRNS", "\0\0\0\0\0\0", (size_t[]){2, 0, 6, 1}[p.colour]);
        put_chunk(&f, "tEXt", "key\0text", 8);
        put_chunk(&f, "prVt", "abc", 3);
        put_data(&f, &z, p.idat_bytes);
        put_chunk(&f, "tEXt", "key\0text", 8);
        put_chunk(&f, "eXIf", "MM\0*", 4);
        put_chunk(&f, "IEND", "", 0);
        assert_int_equal(both(f.b, f.n, "extra chunks", &c), 0);
        free(f.b);
        free(z.b);
    }
    print_counts(&c);
    assert_int_equal(c.lib, 15);
}

/* ---- files that libpng does not take, or not without a word; Pillow decodes nearly all ------- */

static void bad_data_checksum(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_data(f, z, 0);
    f->b[f->n - 1] ^= 1;
    put_chunk(f, "IEND", "", 0);
}

static void bad_late_checksum(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_data(f, z, 0);
    put_chunk(f, "tEXt", "key\0text", 8);
    f->b[f->n - 1] ^= 1;
    put_chunk(f, "IEND", "", 0);
}

static void bad_end_checksum(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
    f->b[f->n - 1] ^= 1;
}

static void bad_stream_checksum(file *f, const picture *p, const file *z)
{
    z->b[z->n - 1] ^= 1;
    put_start(f, p, 0);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
}

static void data_behind_stream(file *f, const picture *p, const file *z)
{
    file more = {0};
    put(&more, z->b, z->n);
    put(&more, "xyz", 3);
    put_start(f, p, 0);
    put_data(f, &more, 0);
    put_chunk(f, "IEND", "", 0);
    free(more.b);
}

static void no_end(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_data(f, z, 0);
}

static void other_method(file *f, const picture *p, const file *z)
{
    put_start(f, p, 1);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
}

static void early_transparency(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_chunk(f, "tRNS", "\0\1", 2);
    put_palette(f, 4);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
}

static void two_palettes(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_palette(f, 4);
    put_palette(f, 4);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
}

static void no_palette(file *f, const picture *p, const file *z)
{
    put_start(f, p, 0);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
}

static void small_frame(file *f, const picture *p, const file *z)
{
    uint8_t frame[26] = {0};
    frame[7] = (uint8_t)p->w;
    frame[11] = (uint8_t)(p->h - 1); /* one row less than the image */
    put_start(f, p, 0);
    put_chunk(f, "fcTL", frame, 26);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
}

static void frame_data(file *f, const picture *p, const file *z)
{
    uint8_t frame[26] = {0};
    file d = {0};
    frame[7] = (uint8_t)p->w;
    frame[11] = (uint8_t)p->h;
    put_start(f, p, 0);
    put_chunk(f, "fcTL", frame, 26);
    put32(&d, 1);
    put(&d, z->b, z->n);
    put_chunk(f, "fdAT", d.b, d.n);
    put_data(f, z, 0); /* libpng would read this */
    put_chunk(f, "IEND", "", 0);
    free(d.b);
}

static void long_text(file *f, const picture *p, const file *z)
{
    size_t n = (8 << 20) + 1; /* one more than libpng is allowed */
    uint8_t *text = calloc(n, 1);
    assert_non_null(text);
    text[0] = 'k';
    put_start(f, p, 0);
    put_chunk(f, "tEXt", text, n);
    put_data(f, z, 0);
    put_chunk(f, "IEND", "", 0);
    free(text);
}

/* Each IDAT one byte longer than the one before: libpng asks for a new buffer each time, until its
 * memory is used up. */
static void growing_data(file *f, const picture *p, const file *z)
{
    size_t at = 0;
    put_start(f, p, 0);
    for (size_t n = 1; at < z->n; n++) {
        size_t step = n < z->n - at ? n : z->n - at;
        put_chunk(f, "IDAT", z->b + at, step);
        at += step;
    }
    put_chunk(f, "IEND", "", 0);
}

static void test_odd_files(void **state)
{
    static const picture grey = {8, 0, 0, 40, 9, 0, 0}, indexed = {2, 3, 0, 40, 9, 0, 0},
                         large = {8, 6, 0, 500, 400, 0, 0};
    static const struct odd {
        void (*make)(file *, const picture *, const file *);
        const picture *p;
        const char *what;
        int refused;
    } odd[] = {
        {bad_data_checksum, &grey, "wrong checksum of IDAT", 0},
        {bad_late_checksum, &grey, "wrong checksum behind the image data", 0},
        {bad_end_checksum, &grey, "wrong checksum of IEND", 0},
        {bad_stream_checksum, &grey, "wrong checksum of the zlib stream", 1},
        {data_behind_stream, &grey, "bytes behind the zlib stream", 0},
        {no_end, &grey, "no IEND", 0},
        {other_method, &grey, "unknown compression method", 0},
        {early_transparency, &indexed, "tRNS before PLTE", 0},
        {two_palettes, &indexed, "two palettes", 0},
        {no_palette, &indexed, "no palette", 0},
        {small_frame, &grey, "first frame smaller than the image", 0},
        {frame_data, &grey, "image data in fdAT", 0},
        {long_text, &grey, "text of 8 MiB", 0},
        {growing_data, &large, "buffers beyond the limit", 0},
    };
    counts c = {0};
    const char *wrong = NULL;
    int n = sizeof odd / sizeof *odd, was, quiet;
    FILE *words = tmpfile();
    (void)state;
    assert_non_null(words);
    fflush(stderr);
    was = dup(STDERR_FILENO);
    dup2(fileno(words), STDERR_FILENO);
    for (int i = 0; i < n; i++) {
        file f = {0}, z = stream_of(odd[i].p);
        int rc;
        odd[i].make(&f, odd[i].p, &z);
        rc = both(f.b, f.n, odd[i].what, &c);
        if (wrong == NULL && (c.lib > 0 || (rc != 0) != odd[i].refused)) wrong = odd[i].what;
        free(f.b);
        free(z.b);
    }
    fflush(stderr);
    quiet = lseek(fileno(words), 0, SEEK_END) == 0;
    dup2(was, STDERR_FILENO);
    close(was);
    fclose(words);
    print_counts(&c);
    if (wrong != NULL) fail_msg("%s: read by libpng, or the wrong verdict", wrong);
    assert_true(quiet); /* libpng said nothing */
}

/* ---- files of Pillow's making, whole and damaged --------------------------------------------- */

static uint8_t *from_base64(const char *s, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *p = malloc(strlen(s) + 1);
    uint32_t bits = 0;
    int have = 0;
    assert_non_null(p);
    for (*n = 0; *s != '\0' && *s != '='; s++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *s) - digits);
        have += 6;
        if (have >= 8) p[(*n)++] = (uint8_t)(bits >> (have -= 8));
    }
    return p;
}

/* After a change the checksums of all chunks that can still be found are made right. */
static void repair(uint8_t *b, size_t n)
{
    size_t at = 8;
    while (at + 12 <= n) {
        size_t size = (size_t)be32(b + at);
        uint32_t sum;
        if (size > n - at - 12) return;
        sum = (uint32_t)crc32(0, b + at + 4, (uInt)(size + 4));
        for (int i = 0; i < 4; i++)
            b[at + 8 + size + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + size;
    }
}

static void test_damage(void **state)
{
    counts c = {0}, whole = {0};
    uint8_t *changed = NULL;
    (void)state;
    for (int i = 0; i < CASES; i++) {
        size_t n;
        uint8_t *bytes = from_base64(image_cases[i].base64, &n);
        if (strncmp(image_cases[i].what, "PNG", 3) == 0) {
            both(bytes, n, image_cases[i].what, &whole);
            changed = realloc(changed, n);
            assert_non_null(changed);
            for (size_t k = 8; k < n; k += 1 + n / 200) {
                memcpy(changed, bytes, n);
                changed[k] ^= (uint8_t)(1u << draw(8));
                if (draw(3) != 0) repair(changed, n);
                both(changed, n, image_cases[i].what, &c);
                both(bytes, k, image_cases[i].what, &c); /* cut there */
            }
        }
        free(bytes);
    }
    free(changed);
    print_counts(&whole);
    print_counts(&c);
    assert_true(whole.lib >= 30 && c.lib > 100 && c.own > 100 && c.refused > 1000);
}

/* ---- memory, threads ------------------------------------------------------------------------- */

/* Rows of every layout fit the memory that libpng gets, up to its own limit for a side; those of
 * about 65535 bytes fit, or do not fit, one stored block. */
static void test_wide_rows(void **state)
{
    counts c = {0};
    (void)state;
    for (int l = 0; l < 15; l++)
        for (int inter = 0; inter < 2; inter++) {
            picture p = a_picture(l, inter, l % 5 == 0 && inter == 0 ? 1000000 : 70000, 1);
            file f;
            p.idat_bytes = 0;
            f = file_of(&p);
            assert_int_equal(both(f.b, f.n, "wide", &c), 0);
            free(f.b);
        }
    for (size_t w = 65530; w < 65560; w++) { /* about the size of one stored block */
        picture p = {8, 0, 0, w, 1, 0, 0};
        file f = file_of(&p);
        assert_int_equal(both(f.b, f.n, "one block", &c), 0);
        free(f.b);
    }
    print_counts(&c);
    assert_int_equal(c.lib, 60);
    for (int tall = 0; tall < 2; tall++) {
        picture p = a_picture(0, 0, tall ? 1 : 1000001, tall ? 1000001 : 1);
        file f = file_of(&p);
        assert_int_equal(both(f.b, f.n, "beyond the limit", &c), 0);
        free(f.b);
    }
    assert_int_equal(c.own, 2);
}

typedef struct job {
    const file *files;
    const uint32_t *sums;
    int n, wrong;
} job;

static void *decode_all(void *arg)
{
    job *j = arg;
    image im = {0};
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < j->n; i++) {
            int by_lib, rc = png_decode_by(&im, j->files[i].b, j->files[i].n, "", 1, &by_lib);
            if (rc < 0 || crc32(0, im.rgb, (uInt)(im.w * im.h * 3)) != j->sums[i]) j->wrong++;
        }
    image_clear(&im);
    return NULL;
}

static void test_threads(void **state)
{
    file files[30];
    uint32_t sums[30];
    job jobs[4];
    pthread_t threads[4];
    image im = {0};
    (void)state;
    for (int i = 0; i < 30; i++) {
        picture p = a_picture(i % 15, i / 15, 20 + draw(30), 20 + draw(30));
        int never;
        files[i] = file_of(&p);
        if (i % 4 == 3) files[i].b[files[i].n - 20] ^= 1; /* libpng escapes from within */
        err_clear();
        if (png_decode_by(&im, files[i].b, files[i].n, "", 0, &never) < 0) {
            files[i].b[files[i].n - 20] ^= 1;
            assert_int_equal(png_decode_by(&im, files[i].b, files[i].n, "", 0, &never), 0);
        }
        sums[i] = (uint32_t)crc32(0, im.rgb, (uInt)(im.w * im.h * 3));
    }
    for (int t = 0; t < 4; t++) {
        jobs[t] = (job){files, sums, 30, 0};
        assert_int_equal(pthread_create(&threads[t], NULL, decode_all, &jobs[t]), 0);
    }
    for (int t = 0; t < 4; t++) {
        pthread_join(threads[t], NULL);
        assert_int_equal(jobs[t].wrong, 0);
    }
    for (int i = 0; i < 30; i++)
        free(files[i].b);
    image_clear(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_extra_chunks),
        cmocka_unit_test(test_odd_files), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wide_rows), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
