/* score/source.c, head.c, labels.c, provenance.c: rows, heads and labels from files, and every way
 * in which files are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "feature_fixture.h"
#include "score/source.h"

static const char *const provenance =
    "{\"checkpoint\":{\"name\":\"r.pth\",\"sha256\":\"aa\"},\"model\":\"resnet50\"}";
static char dir[] = "/tmp/outpost-source-XXXXXX";
static char path_room[8][128];

/* A file name in the folder of this test; up to eight at once. */
static const char *at(const char *name)
{
    static int k;
    char *p = path_room[k++ % 8];
    snprintf(p, sizeof path_room[0], "%s/%s", dir, name);
    return p;
}

static void ok(int rc)
{
    if (rc != 0) print_message("# rc %d: %s\n", rc, err_text());
    assert_int_equal(rc, 0);
}

static void refused(int rc, const char *words)
{
    if (rc != ERR_INPUT || strstr(err_text(), words) == NULL)
        print_message("# rc %d (wanted '%s'): %s\n", rc, words, err_text());
    assert_int_equal(rc, ERR_INPUT);
    assert_non_null(strstr(err_text(), words));
    err_clear();
}

/* .npy, version 1.0. */
static const char *npy(const char *name, const char *type, size_t rows, size_t width,
                       const void *data, size_t bytes)
{
    const char *path = at(name);
    char top[128] = "\x93NUMPY\1\0\x76\0", shape[48];
    FILE *f = fopen(path, "wb");
    int n;
    if (width > 0) snprintf(shape, sizeof shape, "%zu, %zu", rows, width);
    else snprintf(shape, sizeof shape, "%zu,", rows);
    n = snprintf(top + 10, 118, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type,
                 shape);
    memset(top + 10 + n, ' ', (size_t)(117 - n));
    top[127] = '\n';
    fwrite(top, 1, 128, f);
    fwrite(data, 1, bytes, f);
    fclose(f);
    return path;
}

static const char *text(const char *name, const char *words)
{
    const char *path = at(name);
    fixture_save(path, words, strlen(words));
    return path;
}

static size_t good_rows(const fixture *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->spec.rows; i++)
        n += fixture_status(i) == ROW_OK;
    return n;
}

/* Row i of a source is the i-th good row of the file, whatever stretch is asked for. */
static void bad_rows_are_left_out(void **state)
{
    enum { ROWS = 700, D = 6 };
    fixture x;
    source *s = NULL;
    float buffer[ROWS * D];
    char path[200];
    size_t row = 0;
    (void)state;
    fixture_init(&x, ROWS, D, provenance);
    ok(fixture_run(&x, ROWS, 100, 3));
    ok(source_open(&s, "id", x.file));
    assert_int_equal(s->n, good_rows(&x));
    assert_true(s->n < ROWS);
    assert_int_equal(source_rows_of_file(s), ROWS);
    assert_int_equal(s->d, D);
    assert_int_equal(s->c, 10);
    assert_int_equal(strlen(s->sha256), 64);
    for (size_t i = 0; i < s->n; i++, row++) {
        const float *v;
        while (fixture_status(row) != ROW_OK)
            row++;
        assert_int_equal(source_row_of_file(s, i), row);
        assert_string_equal(source_row_path(s, i, path, sizeof path), x.paths[row]);
        assert_int_equal(s->labels[i], x.labels[row]);
        ok(source_features(s, i, 1, buffer, &v));
        for (size_t k = 0; k < D; k++)
            assert_true(v[k] == fixture_value(0, row, k));
    }
    for (size_t n = 1; n <= s->n; n = n * 3 + 1) { /* stretches with and without gaps */
        const float *v, *one;
        float single[10];
        ok(source_logits(s, s->n - n, n, buffer, &v));
        for (size_t i = 0; i < n && n * 10 <= ROWS * D; i++) {
            ok(source_logits(s, s->n - n + i, 1, single, &one));
            assert_memory_equal(v + i * 10, one, 10 * sizeof *one);
        }
        if (n * 30 > ROWS * D) break;
    }
    source_forget(s, 0, s->n);
    ok(source_check_finite(s, 1)); /* the bad rows hold NaN, and are not looked at */
    assert_string_equal(source_model(s, path, sizeof path), "resnet50");
    source_close(&s);
    fixture_clear(&x);
}

static void contiguous_rows_are_not_copied(void **state)
{
    float buffer[20];
    const float *v;
    source *s = NULL;
    fixture x;
    (void)state;
    fixture_init(&x, 12, 4, provenance); /* rows 0..4 and 8..12 are good */
    ok(fixture_run(&x, 12, 12, 1));
    ok(source_open(&s, "id", x.file));
    ok(source_features(s, 0, 5, buffer, &v));
    assert_true(v != buffer);
    ok(source_features(s, 3, 4, buffer, &v));
    assert_true(v == buffer);
    source_close(&s);
    fixture_clear(&x);
}

static void heads_beside_features(void **state)
{
    fixture x;
    source *s = NULL, *narrow = NULL;
    head *h = NULL, *other = NULL;
    static const float f[6] = { 1, 2, 3, 4, 5, 6 };
    (void)state;
    fixture_init(&x, 10, 4, provenance);
    ok(fixture_run(&x, 10, 10, 1));
    ok(source_open(&s, "id", x.file));
    ok(head_of_source(&h, s));
    assert_int_equal(h->c, 10);
    assert_int_equal(h->d, 4);
    assert_memory_equal(h->w, x.weight, 40 * sizeof(float));
    ok(head_open(&other, x.file));
    ok(head_check_equal(h, "a", other, "b"));
    ok(head_check(h, x.file, s));
    ok(source_open(&narrow, "texture", npy("narrow.npy", "<f4", 2, 3, f, sizeof f)));
    refused(head_check(h, "fc.pkl", narrow), "fc.pkl: the head is [10,4], but the features of");
    refused(head_open(&other, narrow->path), "no head in it");
    head_free(&other);
    head_free(&h);
    ok(head_of_source(&h, narrow));
    assert_null(h);
    source_close(&narrow);
    source_close(&s);
    fixture_clear(&x);
}

static void all_number_types_become_f32(void **state)
{
    static const double f64[4] = { 1, -2.5, 1e-3, 1e9 };
    static const uint16_t f16[4] = { 0x3c00, 0xc100, 0x3555, 0x7bff }; /* 1 -2.5 0.333 65504 */
    static const float want16[4] = { 1, -2.5f, 0.333251953125f, 65504 };
    float buffer[4];
    const float *v;
    source *s = NULL;
    (void)state;
    ok(source_open(&s, "id", npy("f64.npy", "<f8", 2, 2, f64, sizeof f64)));
    ok(source_features(s, 0, 2, buffer, &v));
    for (int i = 0; i < 4; i++)
        assert_true(v[i] == (float)f64[i]);
    source_close(&s);
    ok(source_open(&s, "id", npy("f16.npy", "<f2", 2, 2, f16, sizeof f16)));
    ok(source_features(s, 0, 2, buffer, &v));
    assert_memory_equal(v, want16, sizeof want16);
    source_close(&s);
}

static void values_that_are_not_finite_are_refused(void **state)
{
    float v[6] = { 0, 1, 2, 3, 4, 5 };
    source *s = NULL;
    (void)state;
    v[2] = NAN;
    v[5] = -INFINITY;
    ok(source_open(&s, "texture", npy("nan.npy", "<f4", 3, 2, v, sizeof v)));
    refused(source_check_finite(s, 0),
            "nan.npy): NaN or infinite values in the features of 2 of 3 rows, the first is row 1");
    source_close(&s);
    v[2] = 3.4e38f;
    v[5] = 1e-45f;
    ok(source_open(&s, "texture", npy("big.npy", "<f4", 3, 2, v, sizeof v)));
    ok(source_check_finite(s, 0));
    source_close(&s);
}

static void labels_from_beside(void **state)
{
    static const float v[6] = { 0, 1, 2, 3, 4, 5 };
    static const int64_t y[3] = { 2, 0, 7 };
    static const float wrong[3] = { 2, 0, 7 };
    source *s = NULL;
    char buf[64];
    (void)state;
    ok(source_open(&s, "train", npy("train.npy", "<f4", 3, 2, v, sizeof v)));
    assert_null(s->labels);
    /* GEN's format: the text after the last blank; a path may hold blanks */
    ok(source_use_labels(s, text("list.txt", "a/b c.jpg 5\nd.jpg 1\ne.jpg 3\n"), 0));
    assert_true(s->labels[0] == 5 && s->labels[1] == 1 && s->labels[2] == 3);
    assert_string_equal(source_row_path(s, 0, buf, sizeof buf), "a/b c.jpg");
    ok(source_use_labels(s, npy("y.npy", "<i8", 3, 0, y, sizeof y), 0));
    assert_true(s->labels[0] == 2 && s->labels[1] == 0 && s->labels[2] == 7);
    ok(source_check_labels(s, 8));
    refused(source_check_labels(s, 7), "row 2 has label 7, there are 7 classes");
    refused(source_use_labels(s, text("short.txt", "a.jpg 5\nd.jpg 1\n"), 0),
            "short.txt has 2 labels, ");
    refused(source_use_labels(s, npy("w.npy", "<f4", 3, 0, wrong, sizeof wrong), 0), "w.npy");
    refused(source_use_labels(s, text("none.txt", "a/b c.jpg\nd.jpg\ne.jpg\n"), 0), "no label");
    refused(source_use_labels(s, at("absent.txt"), 0), "absent.txt: No such file");
    source_close(&s);
}

/* A list in another order would give every image a wrong label. */
static void labels_must_be_of_the_same_images(void **state)
{
    fixture x;
    source *s = NULL;
    char lines[512] = "", *p = lines;
    (void)state;
    fixture_init(&x, 3, 4, provenance);
    ok(fixture_run(&x, 3, 3, 1));
    ok(source_open(&s, "train", x.file));
    for (int i = 0; i < 3; i++) /* a longer root in front is the same image */
        p += sprintf(p, "imagenet/%s %d\n", x.paths[i], i);
    ok(source_use_labels(s, text("same.txt", lines), 0));
    assert_true(s->labels[1] == 1);
    p = lines;
    for (int i = 2; i >= 0; i--)
        p += sprintf(p, "%s %d\n", x.paths[i], i);
    refused(source_use_labels(s, text("other.txt", lines), 0), "--force takes the labels anyway");
    ok(source_use_labels(s, at("other.txt"), 1));
    assert_true(s->labels[0] == 2);
    source_close(&s);
    fixture_clear(&x);
}

static void files_without_rows_are_refused(void **state)
{
    static const float v[8] = { 0 };
    source *s = NULL;
    (void)state;
    refused(source_open(&s, "id", npy("empty.npy", "<f4", 0, 4, v, 0)), "empty.npy");
    refused(source_open(&s, "id", npy("flat.npy", "<f4", 8, 0, v, sizeof v)), "not of rank 2");
    refused(source_open(&s, "id", dir), "not a regular file");
    refused(source_open(&s, "id", at("nowhere.h5")), "No such file");
    refused(source_open(&s, "id", text("list2.txt", "a.jpg 5\n")), "list2.txt");
    assert_null(s);
}

static void models_must_agree(void **state)
{
    static const char *const others[] = {
        "{\"checkpoint\":{\"name\":\"other-name.pth\",\"sha256\":\"aa\"},\"model\":\"resnet50\"}",
        "{\"checkpoint\":{\"name\":\"r.pth\",\"sha256\":\"bb\"},\"model\":\"resnet50\"}",
        "{\"checkpoint\":{\"name\":\"r.pth\",\"sha256\":\"aa\"},\"model\":\"vit_b16\"}",
        "{\"precision\":\"fp32\"}",
    };
    static const char *const words[] = { NULL, "checkpoints: \"aa\" and \"bb\"",
                                         "models: \"resnet50\" and \"vit_b16\"", NULL };
    fixture x, y;
    source *a = NULL, *b = NULL;
    (void)state;
    fixture_init(&x, 3, 4, provenance);
    ok(fixture_run(&x, 3, 3, 1));
    ok(source_open(&a, "id", x.file));
    for (size_t i = 0; i < 4; i++) {
        fixture_init(&y, 3, 4, others[i]);
        ok(fixture_run(&y, 3, 3, 1));
        ok(source_open(&b, "texture", y.file));
        if (words[i] == NULL) ok(source_check_same_model(a, b));
        else refused(source_check_same_model(a, b), words[i]);
        source_close(&b);
        fixture_clear(&y);
    }
    source_close(&a);
    fixture_clear(&x);
}

static int enter(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int leave(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_rows_are_left_out),
        cmocka_unit_test(contiguous_rows_are_not_copied),
        cmocka_unit_test(heads_beside_features),
        cmocka_unit_test(all_number_types_become_f32),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(labels_from_beside),
        cmocka_unit_test(labels_must_be_of_the_same_images),
        cmocka_unit_test(files_without_rows_are_refused),
        cmocka_unit_test(models_must_agree),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
