/* loader.c: list order and the same bytes for 1 to 8 threads, bad files flagged with their reason,
 * an early end, batches given back out of order. */
#include "extract/images/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/err.h"
#include "common/feature_file.h"
#include "extract/record_run.h"
#include "tests/lib/jpeg_files.h"

enum { FILES = 57, SIDE = 8 };

static char root[64];
static char names[FILES][32];
static const char *paths[FILES];
static int64_t labels[FILES];
static list images = {.n = FILES, .path = paths, .label = labels};
static prep recipe;

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void write_chunk(FILE *f, const char *id, const uint8_t *s, uint32_t n)
{
    uint8_t head[8], tail[4];
    put32(head, n);
    memcpy(head + 4, id, 4);
    put32(tail, (uint32_t)crc32(crc32(0, head + 4, 4), n > 0 ? s : head, n));
    fwrite(head, 1, 8, f);
    if (n > 0) fwrite(s, 1, n, f);
    fwrite(tail, 1, 4, f);
}

/* A grey PNG of SIDE x SIDE; every pixel is i. */
static void write_png(const char *path, int i)
{
    uint8_t rows[SIDE * (SIDE + 1)], packed[512], head[13];
    uLongf n = sizeof packed;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    memset(rows, i, sizeof rows);
    for (int y = 0; y < SIDE; y++)
        rows[y * (SIDE + 1)] = 0;
    put32(head, SIDE);
    put32(head + 4, SIDE);
    memcpy(head + 8, "\x08\0\0\0\0", 5);
    assert_int_equal(compress(packed, &n, rows, sizeof rows), Z_OK);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
    write_chunk(f, "IHDR", head, 13);
    write_chunk(f, "IDAT", packed, (uint32_t)n);
    write_chunk(f, "IEND", NULL, 0);
    fclose(f);
}

static void in_root(char *out, size_t room, const char *name)
{
    snprintf(out, room, "%s/%s", root, name);
}

/* Row 5 is missing, 11 a folder, 17 a FIFO, 23 text, 29 empty, 35 a broken link, 41 cut, 47 a
 * device behind a link. */
static int make_files(void **state)
{
    static const prep_native native = {.side = SIDE, .preset = "gen", .std = {1, 1, 1}};
    char path[2048];
    (void)state;
    snprintf(root, sizeof root, "/tmp/test_loader.XXXXXX");
    if (mkdtemp(root) == NULL) return -1;
    for (int i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof names[i], "%03d.png", i);
        paths[i] = names[i];
        in_root(path, sizeof path, names[i]);
        if (i == 11) mkdir(path, 0755);
        else if (i == 17) mkfifo(path, 0644);
        else if (i == 35) assert_int_equal(symlink("nowhere", path), 0);
        else if (i == 47) assert_int_equal(symlink("/dev/zero", path), 0);
        else if (i != 5) write_png(path, i);
        if (i == 29) assert_int_equal(truncate(path, 0), 0);
        if (i == 41) assert_int_equal(truncate(path, 50), 0);
        if (i == 23) {
            FILE *f = fopen(path, "w");
            fputs("text", f);
            fclose(f);
        }
    }
    return prep_resolve(&recipe, NULL, &native);
}

static int remove_files(void **state)
{
    char path[2048];
    (void)state;
    for (int i = 0; i < FILES; i++) {
        in_root(path, sizeof path, names[i]);
        if (i == 11) rmdir(path);
        else unlink(path);
    }
    return rmdir(root);
}

static const char *expected_reason(size_t row)
{
    switch (row) {
    case 5:
    case 35:
        return "cannot be opened: No such file or directory";
    case 11:
    case 17:
    case 47:
        return "not a regular file";
    case 23:
        return "neither JPEG nor PNG by its first bytes";
    case 29:
        return "empty file";
    case 41:
        return "PNG: ";
    default:
        return NULL;
    }
}

static int expected_status(size_t row)
{
    if (expected_reason(row) == NULL) return ROW_OK;
    return row == 23 || row == 29 || row == 41 ? ROW_DECODE_ERROR : ROW_UNREADABLE;
}

static void check_batch(const loader_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        size_t row = b->row + i;
        const char *why = expected_reason(row);
        assert_int_equal(b->status[i], expected_status(row));
        if (why == NULL) assert_null(b->reason[i]);
        else if (strncmp(b->reason[i], why, strlen(why)) != 0)
            fail_msg("row %zu: %s", row, b->reason[i]);
        for (size_t k = 0; k < SIDE * SIDE * 3; k++)
            assert_int_equal(b->rgb[i * SIDE * SIDE * 3 + k], why == NULL ? row : 0);
    }
}

static loader_options options(int threads, size_t batch, size_t ring)
{
    return (loader_options){.root = root,
                            .images = &images,
                            .end = FILES,
                            .prep = &recipe,
                            .batch = batch,
                            .ring = ring,
                            .threads = threads};
}

static void test_order(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads++)
        for (size_t batch = 1; batch <= 16; batch += 5) {
            loader_options o = options(threads, batch, 2 + (size_t)threads % 3);
            loader *l = NULL;
            loader_batch *b;
            loader_counters c;
            size_t row = 0;
            assert_int_equal(loader_open(&l, &o), 0);
            for (;;) {
                assert_int_equal(loader_next(l, &b), 0);
                if (b == NULL) break;
                assert_int_equal(b->row, row);
                assert_int_equal(b->n, FILES - row < batch ? FILES - row : batch);
                check_batch(b);
                row += b->n;
                loader_release(l, b);
            }
            assert_int_equal(row, FILES);
            loader_count(l, &c);
            assert_int_equal(c.decoded, FILES);
            assert_int_equal(c.ready, 0);
            assert_true(c.decode_seconds > 0);
            loader_close(&l);
            assert_null(l);
        }
}

/* Rows 10 to 33 only; two batches are held and given back in the other order. */
static void test_part_and_release_order(void **state)
{
    loader_options o = options(3, 4, 3);
    loader *l = NULL;
    loader_batch *a, *b, *c;
    (void)state;
    o.begin = 10;
    o.end = 34;
    assert_int_equal(loader_open(&l, &o), 0);
    for (size_t row = 10; row < 34; row += 8) {
        assert_int_equal(loader_next(l, &a), 0);
        assert_int_equal(loader_next(l, &b), 0);
        assert_true(a->row == row && b->row == row + 4);
        check_batch(a);
        check_batch(b);
        loader_release(l, b);
        loader_release(l, a);
    }
    assert_int_equal(loader_next(l, &c), 0);
    assert_null(c);
    loader_close(&l);
}

/* Closing in the middle, with batches held, while threads wait for room. */
static void test_early_close(void **state)
{
    (void)state;
    for (int taken = 0; taken < 3; taken++) {
        loader_options o = options(4, 3, 3);
        loader *l = NULL;
        loader_batch *b;
        assert_int_equal(loader_open(&l, &o), 0);
        for (int i = 0; i < taken; i++)
            assert_int_equal(loader_next(l, &b), 0);
        loader_close(&l);
    }
}

static void test_empty_range(void **state)
{
    loader_options o = options(2, 3, 2);
    loader *l = NULL;
    loader_batch *b = (loader_batch *)&o;
    (void)state;
    o.begin = o.end = 7;
    assert_int_equal(loader_open(&l, &o), 0);
    assert_int_equal(loader_next(l, &b), 0);
    assert_null(b);
    loader_close(&l);
}

static void test_no_permission(void **state)
{
    char path[2048];
    loader_options o = options(1, 1, 2);
    loader *l = NULL;
    loader_batch *b;
    (void)state;
    in_root(path, sizeof path, names[0]);
    if (geteuid() == 0) { /* root may read everything */
        printf("# as root no file is unreadable: permission not tested\n");
        return;
    }
    chmod(path, 0);
    o.end = 1;
    assert_int_equal(loader_open(&l, &o), 0);
    assert_int_equal(loader_next(l, &b), 0);
    assert_int_equal(b->status[0], ROW_UNREADABLE);
    assert_string_equal(b->reason[0], "cannot be opened: Permission denied");
    loader_close(&l);
    chmod(path, 0644);
}

/* The limit of a file's size, and one byte more; the file is one hole. */
static void test_size_limit(void **state)
{
    char path[2048];
    loader_options o = options(1, 1, 2);
    loader *l = NULL;
    loader_batch *b;
    (void)state;
    in_root(path, sizeof path, names[1]);
    for (int more = 0; more < 2; more++) {
        assert_int_equal(truncate(path, LOADER_FILE_MAX + more), 0);
        o.begin = 1;
        o.end = 2;
        assert_int_equal(loader_open(&l, &o), 0);
        assert_int_equal(loader_next(l, &b), 0);
        if (more == 0) assert_int_equal(b->status[0], ROW_OK); /* a PNG with zeros behind it */
        else {
            assert_int_equal(b->status[0], ROW_UNREADABLE);
            assert_non_null(strstr(b->reason[0], "above the limit of 268435456"));
        }
        loader_close(&l);
    }
    unlink(path);
    write_png(path, 1);
}

static void test_refusals(void **state)
{
    loader_options o = options(1, 1, 2);
    loader *l = NULL;
    (void)state;
    err_clear();
    o.root = "/nonexistent/folder";
    assert_int_equal(loader_open(&l, &o), ERR_INPUT);
    assert_null(l);
    err_clear();
    o = options(1, 1, 1);
    assert_int_equal(loader_open(&l, &o), ERR_USAGE);
    o = options(1, 1, 2);
    o.end = FILES + 1;
    assert_int_equal(loader_open(&l, &o), ERR_USAGE);
    err_clear();
}

/* ---- records --------------------------------------------------------------------------------- */

static int held; /* pieces of memory */

static int take(void *ctx, size_t bytes, void **mem)
{
    if (ctx == NULL) return err_set(ERR_ENV, "no memory to give");
    *mem = aligned_alloc(64, (bytes + 63) / 64 * 64);
    held++;
    return 0;
}

static void give(void *ctx, void **mem)
{
    (void)ctx;
    free(*mem);
    *mem = NULL;
    held--;
}

/* JPEGs in place of some of the PNGs: every fourth row, of more bytes the further on. */
static void write_jpegs(void)
{
    for (int i = 0; i < FILES; i += 4) {
        char path[2048];
        made m = {.w = 40 + 9 * i, .h = 30 + 8 * i, .channels = 3, .quality = 96, .noise = 60,
                  .sx = {1, 1, 1}, .sy = {1, 1, 1}};
        FILE *f;
        in_root(path, sizeof path, names[i]);
        f = fopen(path, "wb");
        assert_non_null(f);
        make_file(&m);
        fwrite(m.bytes, 1, i == 8 ? m.n / 2 : m.n, f); /* row 8 is cut */
        fclose(f);
        free(m.bytes);
    }
}

/* Batches of records, decoded, against batches of pixels: the same bytes, flags and words, also where the
 * records of a batch do not all find room. */
static void test_records(void **state)
{
    int kinds[3] = {0, 0, 0}, jpegs_as_pixels = 0;
    (void)state;
    write_jpegs();
    for (int threads = 1; threads <= 4; threads += 3)
        for (size_t batch = 1; batch <= 9; batch += 4) {
            loader_options o = options(threads, batch, 3), ro = o;
            const loader_memory memory = {&held, take, give};
            loader *l = NULL, *r = NULL;
            loader_batch *a, *b;
            record_decoder *d = NULL;
            assert_int_equal(record_decoder_new(&d, &recipe, batch), 0);
            ro.records = 1;
            ro.memory = &memory;
            assert_int_equal(loader_open(&l, &o), 0);
            assert_int_equal(loader_open(&r, &ro), 0);
            assert_int_equal(held, 3);
            for (;;) {
                const uint8_t *rgb;
                assert_int_equal(loader_next(l, &a), 0);
                assert_int_equal(loader_next(r, &b), 0);
                assert_true((a == NULL) == (b == NULL));
                if (a == NULL) break;
                assert_true(a->row == b->row && a->n == b->n && b->records.n == b->n && b->rgb == NULL);
                assert_true(b->records.bytes <= record_limits_of(batch, SIDE, SIDE).batch);
                assert_int_equal(record_decode(d, &b->records, 0, b->n, &rgb), 0);
                assert_memory_equal(rgb, a->rgb, b->n * SIDE * SIDE * 3);
                assert_memory_equal(a->status, b->status, b->n);
                for (size_t i = 0; i < b->n; i++) {
                    int kind = b->records.images[i].kind;
                    kinds[kind]++;
                    jpegs_as_pixels += kind == RECORD_PIXELS && (b->row + i) % 4 == 0;
                    assert_true((a->reason[i] == NULL) == (b->reason[i] == NULL));
                    if (a->reason[i] != NULL) assert_string_equal(a->reason[i], b->reason[i]);
                    assert_true((b->status[i] == ROW_OK) == (kind != RECORD_EMPTY));
                }
                loader_release(l, a);
                loader_release(r, b);
            }
            loader_close(&l);
            loader_close(&r);
            assert_int_equal(held, 0);
            record_decoder_free(&d);
        }
    printf("# %d records of JPEGs, %d of pixels (%d of JPEGs without room), %d empty\n", kinds[RECORD_JPEG],
           kinds[RECORD_PIXELS], jpegs_as_pixels, kinds[RECORD_EMPTY]);
    assert_true(kinds[RECORD_JPEG] > 20 && kinds[RECORD_EMPTY] > 20 && jpegs_as_pixels > 5);
}

static void test_no_memory_given(void **state)
{
    loader_options o = options(2, 3, 3);
    const loader_memory none = {NULL, take, give};
    loader *l = NULL;
    (void)state;
    err_clear();
    o.memory = &none;
    assert_int_equal(loader_open(&l, &o), ERR_ENV);
    assert_null(l);
    err_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),         cmocka_unit_test(test_part_and_release_order),
        cmocka_unit_test(test_early_close),   cmocka_unit_test(test_empty_range),
        cmocka_unit_test(test_no_permission), cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_records),
        cmocka_unit_test(test_no_memory_given),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
