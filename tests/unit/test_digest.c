/* SHA-256 against the examples of FIPS 180-2, whole, in pieces and from a file. */
#include "common/digest.h"
#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char million[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void examples_of_the_standard(void **state)
{
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char hex[65];
    (void)state;
    assert_int_equal(digest_of("", 0, hex), 0);
    assert_string_equal(hex, empty);
    assert_int_equal(digest_of("abc", 3, hex), 0);
    assert_string_equal(hex, abc);
    assert_int_equal(digest_of(two_blocks, 56, hex), 0);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void pieces_and_starting_anew(void **state)
{
    digest *d = NULL;
    char hex[65], a[1000];
    unsigned char raw[32];
    (void)state;
    memset(a, 'a', sizeof a);
    assert_int_equal(digest_new(&d), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(digest_update(d, a, sizeof a), 0);
    assert_int_equal(digest_hex(d, hex), 0);
    assert_string_equal(hex, million);
    assert_int_equal(digest_update(d, "ab", 2), 0);
    assert_int_equal(digest_update(d, "c", 1), 0);
    assert_int_equal(digest_raw(d, raw), 0);
    assert_int_equal(raw[0], 0xba);
    assert_int_equal(raw[31], 0xad);
    digest_free(&d);
    assert_null(d);
    digest_free(&d);
}

static void files(void **state)
{
    char path[] = "/tmp/test_digest.XXXXXX", hex[65];
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(digest_of_file(path, hex), 0);
    assert_string_equal(hex, empty);
    assert_int_equal(write(fd, "abc", 3), 3);
    close(fd);
    assert_int_equal(digest_of_file(path, hex), 0);
    assert_string_equal(hex, abc);
    unlink(path);
    err_clear();
    assert_int_equal(digest_of_file(path, hex), ERR_INPUT);
    err_clear();
    assert_int_equal(digest_of_file("/tmp", hex), ERR_INPUT);
    assert_non_null(strstr(err_text(), "not a regular file"));
    err_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_standard),
        cmocka_unit_test(pieces_and_starting_anew),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
