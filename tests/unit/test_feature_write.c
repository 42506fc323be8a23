/* Writing and resuming feature files: same bytes however it was interrupted, nothing lost, nothing
 * mixed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>

#include "common/log.h"
#include "feature_fixture.h"

static const char *const provenance =
    "{\"model\":\"resnet50\",\"precision\":\"fp32\",\"prep\":{\"resize\":256}}";

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

static int exists(const char *dir, const char *tail)
{
    char name[256];
    snprintf(name, sizeof name, "%s/out.h5%s", dir, tail);
    return access(name, F_OK) == 0;
}

static void check_content(const fixture *x)
{
    feature_file *f = NULL;
    char text[64];
    ok(feature_file_open(&f, x->file));
    const feature_table *a = feature_file_find(f, "features"),
                        *c = feature_file_find(f, "taps/layer4");
    const feature_table *s = feature_file_find(f, "status"),
                        *w = feature_file_find(f, "head/weight");
    const feature_table *l = feature_file_find(f, "labels"),
                        *e = feature_file_find(f, "probes/odin/top");
    assert_true(a != NULL && c != NULL && s != NULL && w != NULL && l != NULL && e != NULL);
    assert_true(feature_file_is_ours(f) && feature_file_is_complete(f));
    assert_int_equal(feature_file_count(f), 9);
    assert_int_equal(strlen(feature_file_digest(f)), 64);
    assert_string_equal(feature_file_provenance(f), provenance);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->dim[0], x->spec.rows);
    assert_int_equal(c->rank, 4);
    assert_int_equal(c->type, FEATURE_F16);
    assert_int_equal(feature_file_paths(f), x->spec.rows);
    assert_memory_equal(w->data, x->weight, 10 * x->set[0].dim[0] * 4);
    if (x->spec.rows > 0) assert_memory_equal(l->data, x->labels, x->spec.rows * 8);
    for (size_t i = 0; i < x->spec.rows; i++) {
        const float *v = (const float *)a->data + i * a->dim[1];
        uint8_t status = ((const uint8_t *)s->data)[i];
        assert_int_equal(status, fixture_status(i));
        assert_string_equal(feature_file_path(f, i, text, sizeof text), x->paths[i]);
        if (status == ROW_UNREADABLE || status == ROW_DECODE_ERROR) {
            assert_true(v[0] != v[0] && v[a->dim[1] - 1] != v[a->dim[1] - 1]);
            assert_true(((const int64_t *)e->data)[i] == INT64_MIN);
            continue;
        }
        for (size_t k = 0; k < a->dim[1]; k++)
            assert_true(v[k] == fixture_value(0, i, k));
        assert_true(((const int64_t *)e->data)[i] == (int64_t)fixture_hash(i) - (1 << 30));
        feature_file_forget(f, a, 0, i);
    }
    feature_file_close(&f);
    ok(feature_file_verify(x->file));
}

static void round_trip(void **unused)
{
    static const size_t rows[] = {0, 1, 2, 1023, 1024, 1025, 2500};
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture x;
        fixture_init(&x, rows[i], 33, provenance);
        ok(fixture_run(&x, rows[i], 64, 4));
        assert_false(exists(x.dir, ".part"));
        assert_false(exists(x.dir, ".journal"));
        assert_false(exists(x.dir, ".lock"));
        check_content(&x);
        fixture_clear(&x);
    }
}

/* Large batches go through the hashing thread, small ones do not: the same bytes. */
static void batches_do_not_matter(void **unused)
{
    static const size_t batch[] = {1, 7, 1000, 3000};
    unsigned char *first = NULL;
    size_t n = 0;
    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        fixture x;
        size_t k;
        fixture_init(&x, 3000, 64, provenance);
        ok(fixture_run(&x, 3000, batch[i], i + 1));
        unsigned char *p = fixture_read(x.file, &k);
        if (first == NULL) {
            first = p, n = k;
        } else {
            assert_int_equal(n, k);
            assert_memory_equal(first, p, n);
            free(p);
        }
        fixture_clear(&x);
    }
    free(first);
}

static void resume_at_every_commit(void **unused)
{
    static const size_t rows = 2100;
    fixture whole;
    size_t n, k;
    unsigned char *want, *have;
    (void)unused;
    fixture_init(&whole, rows, 20, provenance);
    ok(fixture_run(&whole, rows, 50, 1));
    want = fixture_read(whole.file, &n);
    for (size_t stop = 0; stop <= rows; stop += stop % 1000 > 950 ? 1 : 73) {
        fixture x;
        fixture_init(&x, rows, 20, provenance);
        if (stop < rows) ok(fixture_run(&x, stop, 31, 3));
        if (stop < rows) assert_true(exists(x.dir, ".part"));
        ok(fixture_run(&x, rows, 64, 5));
        have = fixture_read(x.file, &k);
        assert_int_equal(n, k);
        assert_memory_equal(want, have, n);
        free(have);
        fixture_clear(&x);
    }
    free(want);
    fixture_clear(&whole);
}

static void states_and_bad_rows(void **unused)
{
    fixture x;
    feature_writer *w = NULL;
    enum feature_state state;
    size_t done, n, bad = 0;
    (void)unused;
    fixture_init(&x, 400, 20, provenance);
    ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
    assert_int_equal(state, FEATURE_NEW);
    assert_int_equal(done, 0);
    ok(fixture_put(&x, w, 0, 100));
    ok(feature_writer_commit(w));
    ok(feature_writer_commit(w));
    ok(fixture_put(&x, w, 100, 50)); /* not committed */
    feature_writer_close(&w);
    ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
    assert_int_equal(state, FEATURE_RESUMED);
    assert_int_equal(done, 100);
    ok(fixture_put(&x, w, 100, 300));
    const feature_bad_row *b = feature_writer_bad(w, &n);
    for (size_t i = 0; i < 400; i++) {
        if (fixture_status(i) == ROW_OK) continue;
        assert_true(bad < n);
        assert_int_equal(b[bad].row, i);
        assert_int_equal(b[bad].status, fixture_status(i));
        assert_string_equal(b[bad].reason,
                            fixture_status(i) == ROW_DECODE_ERROR ? "truncated at byte 12" : "");
        bad++;
    }
    assert_int_equal(bad, n);
    ok(feature_writer_finish(w));
    feature_writer_close(&w);
    ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
    assert_int_equal(state, FEATURE_COMPLETE);
    assert_int_equal(done, 400);
    assert_null(w);
    check_content(&x);
    fixture_clear(&x);
}

static void other_settings_are_refused(void **unused)
{
    fixture x;
    feature_spec other;
    feature_writer *w = NULL;
    enum feature_state state;
    size_t done;
    (void)unused;
    for (int finished = 0; finished < 2; finished++) {
        fixture_init(&x, 300, 20, provenance);
        ok(fixture_run(&x, finished ? 300 : 100, 50, 1));
        other = x.spec;
        other.provenance =
            "{\"model\":\"resnet50\",\"precision\":\"bf16\",\"prep\":{\"resize\":232}}";
        refused(
            feature_writer_open(&w, x.file, &other, 0, &state, &done), ERR_INPUT,
            "precision is \"fp32\" there and \"bf16\" here; prep.resize is 256 there and 232 here");
        other = x.spec;
        other.rows = 299;
        refused(feature_writer_open(&w, x.file, &other, 0, &state, &done), ERR_INPUT,
                finished ? "list, the labels or the datasets differ"
                         : "rows is 300 there and 299 here");
        x.labels[5]++;
        refused(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done), ERR_INPUT, "labels");
        x.labels[5]--;
        /* refusing has not harmed the rows that are there */
        ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
        assert_int_equal(done, finished ? 300 : 100);
        feature_writer_close(&w);
        other = x.spec;
        other.provenance = "{}";
        ok(feature_writer_open(&w, x.file, &other, 1, &state, &done));
        assert_int_equal(state, FEATURE_NEW);
        assert_int_equal(done, 0);
        feature_writer_close(&w);
        assert_int_equal(exists(x.dir, ""),
                         finished); /* an old result stays until the new one is whole */
        fixture_clear(&x);
    }
}

static void other_files_are_in_the_way(void **unused)
{
    fixture x;
    feature_writer *w = NULL;
    enum feature_state state;
    size_t done;
    (void)unused;
    fixture_init(&x, 30, 20, provenance);
    fixture_save(x.file, "precious", 8);
    refused(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done), ERR_INPUT,
            "not a finished feature file");
    assert_false(exists(x.dir, ".part"));
    assert_false(exists(x.dir, ".lock"));
    ok(feature_writer_open(&w, x.file, &x.spec, 1, &state, &done));
    feature_writer_close(&w);
    fixture_clear(&x);
}

static void bad_specs_are_refused(void **unused)
{
    static const char *const names[] = {"",          "/a",     "a/",      "a//b",
                                        "..",        "a/../b", "a\nb",    "digests",
                                        "digests/x", "labels", "features"};
    fixture x;
    feature_writer *w = NULL;
    enum feature_state state;
    size_t done;
    (void)unused;
    fixture_init(&x, 30, 20, provenance);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        x.set[1].name = names[i];
        refused(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done), ERR_USAGE,
                "feature file: ");
    }
    x.set[1].name = "logits";
    x.spec.path_width = 5;
    refused(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done), ERR_USAGE, "room for 5");
    x.spec.path_width = 40;
    x.set[1].dim[0] = SIZE_MAX / 2;
    refused(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done), ERR_INPUT, "overflow");
    fixture_clear(&x);
}

static void order_is_enforced(void **unused)
{
    fixture x;
    feature_writer *w = NULL;
    enum feature_state state;
    size_t done;
    (void)unused;
    fixture_init(&x, 100, 20, provenance);
    ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
    refused(fixture_put(&x, w, 1, 10), ERR_INTERNAL, "row 0 is next");
    feature_writer_close(&w);
    ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
    refused(feature_writer_finish(w), ERR_INTERNAL, "row 0 of 100");
    refused(fixture_put(&x, w, 0, 10), ERR_ENV, "failed before");
    feature_writer_close(&w);
    fixture_clear(&x);
}

static void damaged_rows_are_done_again(void **unused)
{
    fixture x, whole;
    size_t n, k;
    char part[160];
    (void)unused;
    log_open("test", LOG_QUIET);
    fixture_init(&whole, 1500, 20, provenance);
    ok(fixture_run(&whole, 1500, 50, 1));
    unsigned char *want = fixture_read(whole.file, &n);
    fixture_init(&x, 1500, 20, provenance);
    ok(fixture_run(&x, 1200, 50, 1));
    snprintf(part, sizeof part, "%s.part", x.file);
    unsigned char *p = fixture_read(part, &k);
    /* row 1100 of /features, found by its value */
    float v = fixture_value(0, 1100, 3);
    unsigned char *at = memmem(p, k, &v, 4);
    assert_non_null(at);
    at[1] ^= 0x10;
    fixture_save(part, p, k);
    free(p);
    feature_writer *w = NULL;
    enum feature_state state;
    size_t done;
    ok(feature_writer_open(&w, x.file, &x.spec, 0, &state, &done));
    assert_int_equal(state, FEATURE_RESUMED);
    assert_int_equal(done, 1024);
    feature_writer_close(&w);
    ok(fixture_run(&x, 1500, 50, 1));
    p = fixture_read(x.file, &k);
    assert_int_equal(n, k);
    assert_memory_equal(want, p, n);
    free(p);
    /* damage in an older block is found at the end, and no file appears */
    unlink(x.file);
    ok(fixture_run(&x, 1200, 50, 1));
    p = fixture_read(part, &k);
    v = fixture_value(0, 100, 3);
    at = memmem(p, k, &v, 4);
    assert_non_null(at);
    at[1] ^= 0x10;
    fixture_save(part, p, k);
    free(p);
    refused(fixture_run(&x, 1500, 50, 1), ERR_ENV, "/features, rows from 0 on read back otherwise");
    assert_false(exists(x.dir, ""));
    /* and damaged structure at once */
    p = fixture_read(part, &k);
    p[100] ^= 1;
    fixture_save(part, p, k);
    free(p);
    refused(fixture_run(&x, 1500, 50, 1), ERR_INPUT, "not the file that its journal describes");
    free(want);
    fixture_clear(&x);
    fixture_clear(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(batches_do_not_matter),
        cmocka_unit_test(resume_at_every_commit),
        cmocka_unit_test(states_and_bad_rows),
        cmocka_unit_test(other_settings_are_refused),
        cmocka_unit_test(other_files_are_in_the_way),
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(order_is_enforced),
        cmocka_unit_test(damaged_rows_are_done_again),
    };
    return cmocka_run_group_tests_name("feature_write", tests, NULL, NULL);
}
