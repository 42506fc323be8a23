/* The zip door: what the directory may say, and where it is caught lying. */
#include "common/err.h"
#include "common/arrays/zip.h"
#include "tests/unit/build_files.h"

#include <setjmp.h>
#include <cmocka.h>

static int open_zip(const made_zip *z, archive **a, unsigned char **copy)
{
    err_clear();
    *a = NULL;
    *copy = malloc(z->b.n > 0 ? z->b.n : 1); /* exact, for the sanitizer */
    if (*copy == NULL) abort();
    memcpy(*copy, z->b.v, z->b.n);
    return archive_open(a, *copy, z->b.n, "x.zip");
}

static void expect(const char *what, const made_zip *z, const char *rule)
{
    archive *a;
    unsigned char *copy;
    char want[64];
    int rc = open_zip(z, &a, &copy);
    if (rule == NULL && rc != 0) fail_msg("%s: %s", what, err_text());
    if (rule != NULL) {
        snprintf(want, sizeof want, "x.zip: %s: ", rule);
        if (rc != ERR_INPUT || strncmp(err_text(), want, strlen(want)) != 0)
            fail_msg("%s: %d %s, not %s", what, rc, err_text(), rule);
    }
    archive_close(&a);
    free(copy);
}

static void three(made_zip *z)
{
    clear(&z->b);
    z->n = 0;
    zip_add(z, "b/one", "11111", 5);
    zip_add(z, "a/two", "2222222", 7);
    zip_add(z, "c", "", 0);
}

static void members_are_found(void **state)
{
    made_zip z = { 0 };
    archive *a;
    unsigned char *copy, head[4], whole[8];
    const unsigned char *data = NULL;
    size_t got = 0;
    (void)state;
    three(&z);
    zip_end(&z);
    assert_int_equal(open_zip(&z, &a, &copy), 0);
    assert_int_equal(archive_count(a), 3);
    assert_string_equal(archive_at(a, 1)->name, "a/two");
    assert_ptr_equal(archive_find(a, "b/one"), archive_at(a, 0));
    assert_ptr_equal(archive_find(a, "c"), archive_at(a, 2));
    assert_null(archive_find(a, "b/onf"));
    assert_null(archive_find(a, ""));
    assert_int_equal(archive_map(a, archive_at(a, 1), &data), 0);
    assert_ptr_equal(data, copy + archive_at(a, 1)->at); /* in place */
    assert_memory_equal(data, "2222222", 7);
    assert_int_equal(archive_head(a, archive_at(a, 1), head, 4, &got), 0);
    assert_int_equal(got, 4);
    assert_int_equal(archive_head(a, archive_at(a, 2), head, 4, &got), 0);
    assert_int_equal(got, 0);
    assert_int_equal(archive_read(a, archive_at(a, 1), whole), 0);
    assert_memory_equal(whole, "2222222", 7);
    archive_close(&a);
    assert_null(a);
    free(copy);
    clear(&z.b);
}

static void data_that_does_not_match_its_crc(void **state)
{
    made_zip z = { 0 };
    archive *a;
    unsigned char *copy, whole[8];
    const unsigned char *data = NULL;
    (void)state;
    three(&z);
    zip_end(&z);
    z.b.v[z.m[1].at - 1] ^= 1; /* the last byte of the first member */
    assert_int_equal(open_zip(&z, &a, &copy), 0);
    assert_int_equal(archive_map(a, archive_at(a, 0), &data), ERR_INPUT);
    assert_non_null(strstr(err_text(), "zip-crc: member 'b/one'"));
    err_clear();
    assert_int_equal(archive_read(a, archive_at(a, 0), whole), ERR_INPUT);
    assert_int_equal(archive_map(a, archive_at(a, 1), &data), 0);
    archive_close(&a);
    free(copy);
    clear(&z.b);
}

static void names(void **state)
{
    static const struct {
        const char *name, *rule;
    } cases[] = {
        { "a", NULL },        { "a/b/", NULL },         { "..a", NULL },          { "a..", NULL },
        { ".../a", NULL },    { "a/..b", NULL },        { "", "zip-name" },       { "/a", "zip-name" },
        { "..", "zip-name" }, { "../a", "zip-name" },   { "a/../b", "zip-name" }, { "a/..", "zip-name" },
        { "a\\b", "zip-name" }, { "c", "zip-duplicate" },
    };
    made_zip z = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        three(&z);
        zip_add(&z, cases[i].name, "x", 1);
        zip_end(&z);
        expect(cases[i].name, &z, cases[i].rule);
    }
    clear(&z.b);
}

/* One field of the directory's second entry changed. */
static void directory_lies(void **state)
{
    made_zip z = { 0 };
    (void)state;
#define LIE(what, change, rule)                                                                    \
    do {                                                                                           \
        made_member *m;                                                                            \
        three(&z);                                                                                 \
        m = &z.m[1];                                                                               \
        change;                                                                                    \
        zip_end(&z);                                                                               \
        expect(what, &z, rule);                                                                    \
    } while (0)
    LIE("truth", (void)m, NULL);
    LIE("method 9", m->method = 9, "zip-method");
    LIE("encrypted", m->flags = 1, "zip-encrypted");
    LIE("strongly encrypted", m->flags = 0x40, "zip-encrypted");
    LIE("masked", m->flags = 0x2000, "zip-encrypted");
    LIE("deflated, local stored", m->method = 8, "zip-local");
    LIE("size", m->size++, "zip-entry");
    LIE("sizes", (m->size++, m->packed++), "zip-overlap");
    LIE("sizes beyond the file", m->size = m->packed = 1 << 20, "zip-entry");
    LIE("sizes of 4 GiB", m->size = m->packed = UINT32_MAX, "zip-entry");
    LIE("CRC", m->crc++, "zip-library");
    LIE("place", m->at++, "zip-local");
    LIE("place of another", m->at = 0, "zip-local");
    LIE("place beyond the file", m->at = 1 << 20, "zip-entry");
    LIE("place of 4 GiB", m->at = UINT32_MAX, "zip-entry");
    LIE("other name", m->name[0] = 'z', "zip-local");
#undef LIE
    clear(&z.b);
}

/* Two members over the same bytes, each with its own directory entry. */
static void overlap(void **state)
{
    made_zip z = { 0 };
    (void)state;
    three(&z);
    z.m[z.n] = z.m[0];
    z.n++;
    zip_end(&z);
    expect("one member twice", &z, "zip-overlap");
    clear(&z.b);
}

static void end_record(void **state)
{
    made_zip z = { 0 };
    size_t end;
    (void)state;
    three(&z);
    zip_end(&z);
    end = z.b.n - 22;
    put_text(&z.b, "x");
    expect("a byte behind", &z, "zip-end");
    z.b.v[end + 20] = 1; /* now it is a comment */
    expect("a comment", &z, NULL);
    z.b.v[end + 20] = 0;
    z.b.n--;
    z.b.v[end + 4] = 1;
    expect("another disk", &z, "zip-end");
    z.b.v[end + 4] = 0;
    z.b.v[end + 10]++;
    z.b.v[end + 8]++;
    expect("more members", &z, "zip-end");
    z.b.v[end + 10] = (unsigned char)(z.b.v[end + 10] - 2);
    z.b.v[end + 8] = (unsigned char)(z.b.v[end + 8] - 2);
    expect("fewer members", &z, "zip-entry");
    z.b.v[end + 10]++;
    expect("two counts", &z, "zip-end");
    z.b.v[end + 8]++;
    z.b.v[end + 16]++;
    expect("directory moved", &z, "zip-end");
    z.b.v[end + 16] = (unsigned char)(z.b.v[end + 16] - 2);
    expect("directory moved down", &z, "zip-entry");
    z.b.v[end + 16]++;
    expect("restored", &z, NULL);
    z.b.v[end + 10] = z.b.v[end + 11] = z.b.v[end + 8] = z.b.v[end + 9] = 0xff;
    expect("zip64 without its record", &z, "zip-end");
    clear(&z.b);
    z.b.n = 0;
    put_text(&z.b, "PK\5\6");
    expect("only a signature", &z, "zip-end");
    clear(&z.b);
}

/* The same archive with a zip64 end record; `moved` shifts what the locator says. */
static void end_in_zip64(made_zip *z, uint64_t moved, uint64_t more_members)
{
    size_t bytes, at = 0, here;
    three(z);
    at = z->b.n;
    zip_end(z);
    bytes = z->b.n - 22 - at;
    z->b.n -= 22;
    here = z->b.n;
    put(&z->b, "PK\6\6", 4);
    put_number(&z->b, 44, 8);
    put(&z->b, "\x2d\0\x2d\0", 4);
    put_number(&z->b, 0, 8); /* disks */
    put_number(&z->b, 3 + more_members, 8);
    put_number(&z->b, 3 + more_members, 8);
    put_number(&z->b, bytes, 8);
    put_number(&z->b, at, 8);
    put(&z->b, "PK\6\7\0\0\0\0", 8);
    put_number(&z->b, here + moved, 8);
    put_number(&z->b, 1, 4);
    put(&z->b, "PK\5\6\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 22);
}

static void zip64(void **state)
{
    made_zip z = { 0 };
    (void)state;
    end_in_zip64(&z, 0, 0);
    expect("zip64", &z, NULL);
    end_in_zip64(&z, 1, 0);
    expect("locator one off", &z, "zip-end");
    end_in_zip64(&z, UINT64_MAX / 2, 0);
    expect("locator far off", &z, "zip-end");
    end_in_zip64(&z, 0, 1);
    expect("one more member", &z, "zip-end");
    end_in_zip64(&z, 0, UINT64_MAX - 3);
    expect("2^64 members", &z, "zip-limit");
    clear(&z.b);
}

static void every_prefix(void **state)
{
    made_zip z = { 0 };
    size_t n;
    (void)state;
    three(&z);
    zip_end(&z);
    n = z.b.n;
    for (z.b.n = 0; z.b.n < n; z.b.n++)
        expect("prefix", &z, "zip-end");
    clear(&z.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found), cmocka_unit_test(data_that_does_not_match_its_crc),
        cmocka_unit_test(names),             cmocka_unit_test(directory_lies),
        cmocka_unit_test(overlap),           cmocka_unit_test(end_record),
        cmocka_unit_test(zip64),             cmocka_unit_test(every_prefix),
    };
    return cmocka_run_group_tests_name("zip", tests, NULL, NULL);
}
