/* Reading: damage is found, the parent survives whatever happens to libhdf5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/h5/h5_sandbox.h"
#include "feature_fixture.h"

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static const char *const provenance = "{\"model\":\"m\"}";

static void ok(int rc)
{
    if (rc != 0) print_message("# rc %d: %s\n", rc, err_text());
    assert_int_equal(rc, 0);
}

static void refused(int rc, int code, const char *words)
{
    if (rc != code || strstr(err_text(), words) == NULL)
        print_message("# rc %d (wanted %d, '%s'): %s\n", rc, code, words, err_text());
    assert_int_equal(rc, code);
    assert_non_null(strstr(err_text(), words));
    err_clear();
}

/* --- the child process ---------------------------------------------------------------------------- */

static int crash(void *arg)
{
    (void)arg;
    __builtin_trap();
}
static int spin(void *arg)
{
    for (volatile unsigned long i = 0;; i++)
        if (arg == NULL) return 0;
}
static int leave(void *arg)
{
    (void)arg;
    _exit(7);
}
static int complain(void *arg)
{
    return err_set(ERR_INPUT, "%s is wrong", (const char *)arg);
}
static int greedy(void *arg)
{
    void *p = malloc((size_t)1 << 30);
    (void)arg;
    if (p == NULL) return 0;
    free(p);
    return ERR_INTERNAL;
}
/* Nothing outside can be reached: no open, no socket, no write, no fork. */
static int explore(void *arg)
{
    char byte = 'x';
    int *fd = arg;
    if (open("/etc/passwd", O_RDONLY) >= 0) return err_set(ERR_INTERNAL, "opened a file");
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0) return err_set(ERR_INTERNAL, "made a socket");
    if (write(*fd, &byte, 1) >= 0 || pwrite(*fd, &byte, 1, 0) >= 0)
        return err_set(ERR_INTERNAL, "wrote");
    if (read(*fd, &byte, 1) >= 0) return err_set(ERR_INTERNAL, "read");
    if (fork() >= 0) return err_set(ERR_INTERNAL, "forked");
    return 0;
}

static void child_is_contained(void **unused)
{
    const sandbox_limits limits = {1, 20, 64 << 20};
    char name[] = "/tmp/outpost-test-XXXXXX";
    int fd = mkstemp(name);
    (void)unused;
    assert_true(fd >= 0);
    refused(sandbox_run(crash, NULL, &limits, "a.h5", "libhdf5"), ERR_INPUT,
            "a.h5: libhdf5 crashed");
    refused(sandbox_run(spin, &fd, &limits, "a.h5", "libhdf5"), ERR_INPUT,
            "a.h5: libhdf5 did not come to an end");
    refused(sandbox_run(leave, NULL, &limits, "a.h5", "libhdf5"), ERR_INPUT, "gave up");
    refused(sandbox_run(complain, (void *)"this\nthing", &limits, "a.h5", "libhdf5"), ERR_INPUT,
            "a.h5: this\\x0athing is wrong");
    if (!SANITIZED) { /* sanitizers need what the limits forbid */
        ok(sandbox_run(greedy, NULL, &limits, "a.h5", "libhdf5"));
        ok(sandbox_run(explore, &fd, &limits, "a.h5", "libhdf5"));
    }
    const sandbox_limits brief = {100, 1, 64 << 20};
    refused(sandbox_run(spin, &fd, &brief, "a.h5", "libhdf5"), ERR_INPUT, "did not come to an end");
    close(fd);
    unlink(name);
}

/* Opening while other threads allocate and open: no deadlock of a forked child. */
static void *busy(void *arg)
{
    const char *file = arg;
    for (int i = 0; i < 40; i++) {
        feature_file *f = NULL;
        void *p = malloc((size_t)(i * 1000));
        intptr_t rc = feature_file_open(&f, file);
        free(p);
        feature_file_close(&f);
        if (rc != 0) return (void *)rc;
    }
    return NULL;
}

static void threads_may_open(void **unused)
{
    fixture x;
    pthread_t t[6];
    (void)unused;
    fixture_init(&x, 50, 8, provenance);
    ok(fixture_run(&x, 50, 50, 1));
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&t[i], NULL, busy, x.file), 0);
    for (int i = 0; i < 6; i++) {
        void *r = NULL;
        pthread_join(t[i], &r);
        assert_null(r);
    }
    fixture_clear(&x);
}

/* --- damage --------------------------------------------------------------------------------------- */

static size_t tries(size_t quick)
{
    const char *v = getenv("FEATURE_FLIPS");
    return v != NULL ? strtoul(v, NULL, 10) : quick;
}

static void every_flipped_bit_is_found(void **unused)
{
    fixture x;
    size_t n, found = 0, total = tries(3000);
    uint64_t r = 12345;
    (void)unused;
    fixture_init(&x, 1100, 20, provenance);
    ok(fixture_run(&x, 1100, 200, 1));
    ok(feature_file_verify(x.file));
    unsigned char *p = fixture_read(x.file, &n);
    int fd = open(x.file, O_RDWR);
    for (size_t i = 0; i < total; i++) {
        /* every second one in the metadata and the small datasets at the front */
        r = r * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(r >> 20) % (i % 2 == 0 || n < 8192 ? n : 8192);
        unsigned char bad = p[at] ^ (unsigned char)(1u << (r >> 8 & 7));
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);
        int rc = feature_file_verify(x.file);
        if (rc == ERR_INPUT) found++;
        else print_message("# bit flip at %zu: rc %d %s\n", at, rc, err_text());
        err_clear();
        assert_int_equal(pwrite(fd, &p[at], 1, (off_t)at), 1);
    }
    print_message("# %zu of %zu flips found in a file of %zu bytes\n", found, total, n);
    assert_int_equal(found, total);
    close(fd);
    ok(feature_file_verify(x.file));
    free(p);
    fixture_clear(&x);
}

static void cuts_holes_and_swaps_are_found(void **unused)
{
    fixture x;
    size_t n;
    (void)unused;
    fixture_init(&x, 3000, 20, provenance);
    ok(fixture_run(&x, 3000, 200, 1));
    unsigned char *p = fixture_read(x.file, &n), *q = malloc(n);
    for (size_t i = 0; i < 200; i++) {
        size_t keep = i < 20 ? n - 1 - i : n * (i - 20) / 180;
        fixture_save(x.file, p, keep);
        assert_int_equal(feature_file_verify(x.file), ERR_INPUT);
        err_clear();
    }
    for (size_t at = 0; at + 4096 <= n; at += 4096) { /* lost pages */
        memcpy(q, p, n);
        memset(q + at, 0, 4096);
        if (memcmp(p, q, n) == 0) continue;
        fixture_save(x.file, q, n);
        assert_int_equal(feature_file_verify(x.file), ERR_INPUT);
        err_clear();
    }
    float v[2] = {fixture_value(0, 0, 0), fixture_value(0, 1024, 0)};
    memcpy(q, p, n);
    unsigned char *a = memmem(q, n, &v[0], 4), *b = a + 1024 * 80; /* whole blocks change places */
    assert_memory_equal(b, &v[1], 4);
    for (size_t i = 0; i < 1024 * 80; i++) {
        unsigned char c = a[i];
        a[i] = b[i], b[i] = c;
    }
    fixture_save(x.file, q, n);
    refused(feature_file_verify(x.file), ERR_INPUT,
            "/features, rows 0 to 1023 do not match their digest (block 0)");
    memcpy(q, p, n);
    v[0] = fixture_value(1, 2500, 4), v[1] = fixture_value(1, 2500, 5);
    a = memmem(q, n, v, 8);
    a[0] ^= 1;
    fixture_save(x.file, q, n);
    refused(feature_file_verify(x.file), ERR_INPUT,
            "rows 2048 to 2999 do not match their digest (block 2)");
    free(p);
    free(q);
    fixture_clear(&x);
}

static void unfinished_files_are_refused(void **unused)
{
    fixture x;
    feature_file *f = NULL;
    char part[160];
    (void)unused;
    fixture_init(&x, 300, 20, provenance);
    ok(fixture_run(&x, 100, 50, 1));
    snprintf(part, sizeof part, "%s.part", x.file);
    refused(feature_file_open(&f, part), ERR_INPUT, "extraction has not finished");
    assert_int_equal(rename(part, x.file), 0);
    refused(feature_file_open(&f, x.file), ERR_INPUT, "extraction has not finished");
    ok(feature_file_open_partial(&f, x.file));
    assert_false(feature_file_is_complete(f));
    assert_string_equal(feature_file_digest(f), "");
    feature_file_close(&f);
    fixture_clear(&x);
}

static void odd_files_are_refused(void **unused)
{
    fixture x;
    feature_file *f = NULL;
    (void)unused;
    fixture_init(&x, 3, 2, provenance);
    refused(feature_file_open(&f, x.file), ERR_INPUT, "cannot open");
    refused(feature_file_open(&f, x.dir), ERR_INPUT, "not a regular file");
    refused(feature_file_open(&f, "/dev/zero"), ERR_INPUT, "not a regular file");
    assert_int_equal(mkfifo(x.file, 0600), 0);
    refused(feature_file_open(&f, x.file), ERR_INPUT, "not a regular file");
    unlink(x.file);
    fixture_save(x.file, "", 0);
    refused(feature_file_open(&f, x.file), ERR_INPUT, "not an HDF5 file");
    fixture_save(x.file, "\x89HDF\r\n\x1a\n", 8);
    refused(feature_file_open(&f, x.file), ERR_INPUT, x.file);
    fixture_clear(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_is_contained),
        cmocka_unit_test(threads_may_open),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(cuts_holes_and_swaps_are_found),
        cmocka_unit_test(unfinished_files_are_refused),
        cmocka_unit_test(odd_files_are_refused),
    };
    return cmocka_run_group_tests_name("feature_read", tests, NULL, NULL);
}
